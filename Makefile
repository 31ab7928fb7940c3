# Targets for working on sts-credential-operator. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export VERSION
COMMIT = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# The time that what is built bears.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
IMG ?= sts-credential-operator:dev
export IMG
EMULATOR_IMG ?= sts-emulator:dev
CONFIG ?= config/default
DIST ?= dist
KUBECTL ?= kubectl
KUBERNETES_VERSION ?=
export KUBERNETES_VERSION

TOOL := go tool -modfile=hack/tools/go.mod
LINT := go tool -modfile=$(CURDIR)/hack/tools/golangci-lint/go.mod golangci-lint
HELM := go tool -modfile=hack/tools/helm/go.mod helm
# The Go modules with code: the product, the developers' tools, and the tests of the whole.
MODULES := . hack test
FURTHER_MODULES := hack/tools hack/tools/golangci-lint hack/tools/helm hack/tools/actionlint hack/tools/crane test/formats
CHART := charts/sts-credential-operator
CRDS := crd/stscredentials.sts.alibabacloud.com crd/stsrolegrants.sts.alibabacloud.com
GO_BUILD = CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'
# The modules of a program, as scanners name them.
MODULES_OF = $(TOOL) cyclonedx-gomod bin -json -std -noserial -notimestamp -disable-html-escape -version $(VERSION) $(1) | \
	  sed -e 's|pkg:golang/std@go|pkg:golang/stdlib@|' -e '/"name": "std",/{s/std/stdlib/;n;s/"go/"/;}'
# Platforms that the plugin is packed for; all by default.
PLATFORMS ?=
# What a cluster gets, with the image IMG.
MANIFESTS = $(TOOL) kustomize build $(CONFIG) | sed -e 's|image: sts-credential-operator:dev$$|image: $(IMG)|' -e "s|'sts-credential-operator:dev'|'$(IMG)'|"
# Where etcd, kube-apiserver and kubectl are, which are fetched or built on first use.
ASSETS = $$(go -C hack run ./controlplane/assets kube-controller-manager)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z0-9_-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the main job live on a local control plane and an emulated STS (ARGS=--once ends by itself).
	go -C test build -o $(CURDIR)/bin/demo ./demo
	bin/demo $(ARGS)

.PHONY: cluster
cluster: ## Run a Kubernetes cluster of one node for playing, until Ctrl-C (Linux, root; says which packages it needs).
	go -C hack run ./node/cluster

.PHONY: test
test: ## Run all tests, with the race detector, against a real API server (KUBERNETES_VERSION=1.33.13 for another).
	assets="$(ASSETS)"; export KUBEBUILDER_ASSETS="$$assets"; failed=0; mkdir -p bin; \
	for module in $(MODULES); do \
	  go -C "$$module" test -race -timeout 30m -coverprofile="$(CURDIR)/bin/cover-$${module/./product}.out" $(ARGS) ./... || failed=1; \
	done; exit $$failed
	go -C test test $(ARGS) ./budget # without the race detector
	hack/coverage.sh bin/cover-*.out

.PHONY: test-unit
test-unit: ## Run only the tests that need no program but Go's.
	go test -race $(ARGS) $$(go list ./internal/... | grep -v /internal/identity)
	go -C test test -race $(ARGS) ./stsemulator/... ./chaos/observer
	go -C test test $(ARGS) ./budget

.PHONY: test-chart
test-chart: ## Run only the tests of the chart, on a real API server.
	go -C test test -count=1 $(ARGS) ./chart

.PHONY: test-monitoring
test-monitoring: ## Test alerts, dashboard and runbooks only, against a real Prometheus; `make test` does so too.
	go -C test test -count=1 $(ARGS) ./monitoring/...

.PHONY: test-formats
test-formats: test/formats/node/node_modules test/formats/java/target/lib test/formats/python/venv/installed ## Give the Secret in each format to the SDKs that read it (needs Node.js, npm, Java 17, Maven and Python 3).
	mkdir -p bin
	cd test/formats && FORMATS_TABLE=$(CURDIR)/bin/formats.txt go test -count=1 $(ARGS) ./...
	cat bin/formats.txt

test/formats/node/node_modules: test/formats/node/package-lock.json
	cd test/formats/node && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

test/formats/java/target/lib: test/formats/java/pom.xml $(wildcard test/formats/java/src/main/java/formats/*.java)
	cd test/formats/java && mvn --batch-mode --quiet -Dstyle.color=never -Dmaven.wagon.http.retryHandler.count=5 process-classes
	touch $@

test/formats/python/venv/installed: test/formats/python/requirements.txt
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

.PHONY: docs-site
docs-site: docs/node_modules ## Build the documentation site into dist/site (needs Node.js and npm).
	rm -rf dist/site
	cd docs && npx --no-install vitepress build

.PHONY: docs-site-test
docs-site-test: docs-site test/site/node_modules ## Open every page of the documentation site in a headless Chromium.
	node test/site/site.test.js

docs/node_modules: docs/package-lock.json
	cd docs && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

test/site/node_modules: test/site/package-lock.json
	cd test/site && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: bench
bench: ## Measure the operator against the baseline and write docs/performance.md: half an hour, Linux (ARGS=--short: five minutes, no file).
	go -C test build -o $(CURDIR)/bin/bench ./bench
	bin/bench $(ARGS)

.PHONY: picture
picture: ## Draw docs/images/dashboard.svg anew, from a run of eleven minutes.
	go -C test build -o $(CURDIR)/bin/picture ./monitoring/picture
	bin/picture

.PHONY: fuzz
fuzz: ## Run every fuzz target for a minute each (FUZZTIME=10s for less), and print a table.
	hack/fuzz.sh $(FUZZTIME)

.PHONY: chaos
chaos: ## Do to the operator whatever can happen to it, with an observer that finds broken promises (ARGS=-short for a little of it).
	go -C test build -o $(CURDIR)/bin/chaos ./chaos
	bin/chaos $(ARGS)

.PHONY: lint
lint: ## Run the linters.
	for module in $(MODULES); do (cd "$$module" && $(LINT) run ./...); done
	go tool -modfile=hack/tools/actionlint/go.mod actionlint

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the code that the programs call (needs the internet).
	$(TOOL) govulncheck ./cmd/...

.PHONY: generate
generate: ## Generate deep copies, apply configurations, CRDs, RBAC, the references of API and plugin, the chart's parts and config/prometheus.
	$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(TOOL) controller-gen applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=config/crd
	go -C hack run ./policyschema $(CURDIR)/config/crd/sts.alibabacloud.com_*.yaml
	$(TOOL) controller-gen rbac:roleName=sts-credential-operator paths=./controllers/... paths=./cmd/... output:rbac:dir=config/rbac
	cp config/crd/sts.alibabacloud.com_*.yaml $(CHART)/files/crds/
	cp $(filter-out %/kustomization.yaml,$(wildcard config/admission/*.yaml)) $(CHART)/files/admission/
	cp config/components/agent-injection/policy.yaml $(CHART)/files/agent/
	go -C hack run ./chartdocs $(CURDIR)/$(CHART)
	$(TOOL) crd-ref-docs --log-level=ERROR --config=hack/api-reference.yaml --source-path=api/v1alpha1 --renderer=markdown --output-path=docs/api-reference.md
	go -C hack run ./plugindocs $(CURDIR)/docs/kubectl-plugin-reference.md
	hack/monitoring/generate.sh

.PHONY: manifests
manifests: generate ## The same as generate, by kubebuilder's name.

.PHONY: tidy
tidy: ## Tidy the Go modules.
	for module in $(MODULES) $(FURTHER_MODULES); do go -C "$$module" mod tidy; done

.PHONY: fmt
fmt: ## Format the Go code.
	gofmt -l -w api cmd controllers hack internal test

.PHONY: vet
vet: ## Run go vet.
	for module in $(MODULES); do go -C "$$module" vet ./...; done

# git stash create keeps nothing: it names the state of the tracked files, with changes that are not committed yet.
.PHONY: verify
verify: ## Bring generated files, modules and formatting up to date, and fail if they were not.
	before="$$(git stash create)"; untracked="$$(git ls-files --others --exclude-standard)"; \
	$(MAKE) --no-print-directory generate tidy fmt >/dev/null; \
	git --no-pager diff --exit-code "$${before:-HEAD}" && \
	diff <(echo "$$untracked") <(echo "$$(git ls-files --others --exclude-standard)") || \
	{ echo "What is shown above was out of date: commit it." >&2; exit 1; }

.PHONY: chart
chart: ## Check the chart and package it into dist/ (VERSION=v1.2.3 stamps it).
	$(HELM) lint --strict $(CHART)
	$(HELM) package --destination dist $(if $(filter v%,$(VERSION)),--version $(VERSION:v%=%) --app-version $(VERSION)) $(CHART)

.PHONY: build
build: ## Build the manager, the agent and the kubectl plugin into bin/.
	$(GO_BUILD) -o bin/manager ./cmd/manager
	$(GO_BUILD) -o bin/stscred-agent ./cmd/agent
	$(GO_BUILD) -o bin/kubectl-stscred ./cmd/kubectl-stscred

.PHONY: plugin
plugin: ## Pack the kubectl plugin for all platforms into dist/, with checksums and krew's manifest (PLATFORMS=linux/amd64,darwin/arm64 for fewer).
	COMMIT=$(COMMIT) hack/plugin/pack.sh $(abspath $(DIST)) $(PLATFORMS)

.PHONY: docker-build
docker-build: ## Build the image IMG (LOCAL_BASES=1: without a registry, and without a running engine if you are root).
	hack/image/engine.sh hack/image/build.sh build

.PHONY: image-archive
image-archive: ## Build the image IMG and save it to dist/image.tar, for docker load and ctr images import.
	ARCHIVE=dist/image.tar hack/image/engine.sh hack/image/build.sh build

.PHONY: image-check
image-check: image-archive ## Build the image IMG and check it: size, user, labels, no shell, static, runs under any user.
	IMAGE_ARCHIVE=$(CURDIR)/dist/image.tar hack/image/engine.sh go -C test test -count=1 -v ./image

.PHONY: emulator-image
emulator-image: ## Build the image EMULATOR_IMG of the STS emulator, save it to dist/emulator.tar, and list its Go modules.
	IMG=$(EMULATOR_IMG) TARGET=emulator PROGRAM=stsemulator ARCHIVE=dist/emulator.tar \
	  hack/image/engine.sh hack/image/build.sh build
	$(call MODULES_OF,dist/stsemulator) >dist/sts-emulator.cdx.json

.PHONY: emulator-check
emulator-check: emulator-image ## Build the image of the STS emulator and check it: size, user, labels, static, answers AssumeRole.
	EMULATOR_ARCHIVE=$(CURDIR)/dist/emulator.tar hack/image/engine.sh go -C test test -count=1 -v -run Emulator ./image

# On a node without a registry; LOCAL_BASES= takes the Dockerfile's bases all the same.
.PHONY: e2e
e2e: export LOCAL_BASES ?= 1
e2e: override IMG := sts-credential-operator:e2e
e2e: image-archive test/formats/node/node_modules ## Test the image and the chart on a real node, with pods that call an emulated STS (Linux, root, Node.js).
	E2E=1 go -C hack test -count=1 -timeout 20m -v $(ARGS) ./node
	E2E=1 IMAGE_ARCHIVE=$(CURDIR)/dist/image.tar go -C test test -count=1 -timeout 30m -parallel 4 -v $(ARGS) ./e2e

.PHONY: upgrade-test
upgrade-test: ## Test that an upgrade from the git revision FROM to this tree, and the rollback, renew nothing.
	@rm -rf bin/from && mkdir -p bin/from
	git archive $(or $(FROM),$(error Write FROM=<git revision>)) | tar -x -C bin/from
	CGO_ENABLED=0 go -C bin/from build -o ../manager-from ./cmd/manager
	CGO_ENABLED=0 go build -o bin/manager ./cmd/manager
	OLD_MANAGER=$(CURDIR)/bin/manager-from NEW_MANAGER=$(CURDIR)/bin/manager go -C test test -count=1 -v ./upgrade

.PHONY: sbom
sbom: image-archive ## List the Go modules of the image and of the plugin in dist/*.cdx.json (CycloneDX); the manager has all that the agent has.
	$(call MODULES_OF,dist/manager) >dist/sbom.cdx.json
	$(GO_BUILD) -o bin/kubectl-stscred ./cmd/kubectl-stscred
	$(call MODULES_OF,bin/kubectl-stscred) >dist/kubectl-stscred.cdx.json

# Any of the outputs of docker buildx build, such as --push.
OUTPUT ?= --output type=oci,dest=dist/image-oci.tar

.PHONY: docker-buildx
docker-buildx: ## Build IMG for amd64 and arm64 into dist/image-oci.tar (OUTPUT=--push: to its registry instead).
	mkdir -p dist
	hack/image/build.sh buildx build --platform linux/amd64,linux/arm64 $(OUTPUT)

.PHONY: install
install: ## Install or upgrade the CRDs in the cluster of your kubectl.
	$(TOOL) kustomize build config/crd | $(KUBECTL) apply -f -
	$(KUBECTL) wait --for=condition=Established --timeout=60s $(CRDS)

.PHONY: uninstall
uninstall: ## Remove the CRDs and with them ALL StsCredentials and StsRoleGrants; Kubernetes then deletes their Secrets.
	$(KUBECTL) delete --ignore-not-found $(CRDS)

.PHONY: deploy
deploy: ## Install or upgrade CRDs, rights and the operator, with the image IMG (CONFIG=config/overlays/namespaced for another shape).
	$(MANIFESTS) | $(KUBECTL) apply -f -

.PHONY: undeploy
undeploy: ## Remove the operator and its rights. The CRDs, what was asked for, the Secrets and the namespace stay.
	$(MANIFESTS) | awk 'BEGIN {RS = ORS = "---\n"} !/\nkind: (CustomResourceDefinition|Namespace)\n/' | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: dist
dist: ## Write what `make deploy` applies to dist/install.yaml (DIST=another folder).
	mkdir -p $(DIST)
	$(MANIFESTS) >$(DIST)/install.yaml

.PHONY: schemas
schemas: ## Write JSON schemas of both kinds to dist/schemas, for editors and kubeconform (DIST=another folder).
	go -C hack run ./schemas $(abspath $(DIST))/schemas $(CURDIR)/config/crd/sts.alibabacloud.com_*.yaml

.PHONY: build-installer
build-installer: dist ## The same as dist, by kubebuilder's name.

# What an earlier target has built is taken as it is.
dist/image.tar: ; $(MAKE) image-archive
dist/sbom.cdx.json: ; $(MAKE) sbom
dist/emulator.tar: ; $(MAKE) emulator-image

.PHONY: release-dry-run
release-dry-run: dist/image.tar dist/sbom.cdx.json dist/emulator.tar ## Run all steps of the release workflow, with a registry on this machine, and read back what they publish.
	hack/release.sh dry-run

.PHONY: clean
clean: ## Remove what was built here; the control plane's programs stay in the user's cache.
	rm -rf bin dist
