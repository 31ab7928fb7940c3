# Two images on a base without a shell: the operator, with the manager and the agent, and by --target=emulator the STS emulator for tests.
# `make docker-build` and `make emulator-image` build them; docs/install.md describes the bases.
# The bases stand in FROM lines of their own, which is where Dependabot looks for them; other bases are named by arguments.
ARG BUILDER_IMAGE=default-builder
ARG BASE_IMAGE=default-base

FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS default-builder
FROM gcr.io/distroless/static-debian13:nonroot AS default-base

FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH GOPROXY VERSION=dev COMMIT=unknown SOURCE_DATE_EPOCH=0
# The same sources give the same layers: without paths, build IDs from git and the time of the build.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir /out && \
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOOS=$TARGETOS GOARCH=$TARGETARCH && \
    set -- -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" && \
    go build "$@" -o /out/manager ./cmd/manager && \
    go build "$@" -o /out/stscred-agent ./cmd/agent && \
    go -C test build "$@" -o /out/stsemulator ./stsemulator/cmd/stsemulator && \
    touch -d "@$SOURCE_DATE_EPOCH" /out/*

FROM ${BASE_IMAGE} AS base
ARG VERSION=dev COMMIT=unknown CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.source="https://github.com/stscredential/sts-credential-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$CREATED"
# By number, so that Kubernetes can see that it is not root. Any other number works too.
USER 65532:65532

FROM base AS emulator
LABEL org.opencontainers.image.title="sts-emulator" \
      org.opencontainers.image.description="An emulated Alibaba Cloud STS, for tests only"
COPY --chmod=0644 test/stsemulator/cmd/stsemulator/seed.yaml /seed.yaml
COPY --from=build /out/stsemulator /
EXPOSE 8480 8481
# Flags in a container's arguments override these.
ENTRYPOINT ["/stsemulator", "--seed=/seed.yaml", "--listen=:8480", "--admin-listen=:8481"]

FROM base AS operator
LABEL org.opencontainers.image.title="sts-credential-operator" \
      org.opencontainers.image.description="Keeps short-lived Alibaba Cloud STS credentials in Kubernetes Secrets"
COPY --from=build /out/manager /out/stscred-agent /
ENTRYPOINT ["/manager"]
