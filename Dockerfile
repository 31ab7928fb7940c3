# The manager and the agent, on a base without a shell. `make docker-build` builds it; docs/install.md tells about the bases.
# The bases stand in FROM lines of their own, which is where Dependabot looks for them; other bases are named by arguments.
ARG BUILDER_IMAGE=default-builder
ARG BASE_IMAGE=default-base

FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS default-builder
FROM gcr.io/distroless/static-debian13:nonroot AS default-base

FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS build
WORKDIR /src
COPY . .
ARG TARGETOS TARGETARCH GOPROXY VERSION=dev COMMIT=unknown SOURCE_DATE_EPOCH=0
# The same sources give the same layer: no path, no build ID from git and no time of building is in it.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    mkdir /out && \
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOOS=$TARGETOS GOARCH=$TARGETARCH && \
    stamp="-s -w -X main.version=$VERSION -X main.commit=$COMMIT" && \
    go build -trimpath -buildvcs=false -ldflags "$stamp" -o /out/manager ./cmd/manager && \
    go build -trimpath -buildvcs=false -ldflags "$stamp" -o /out/stscred-agent ./cmd/agent && \
    touch -d "@$SOURCE_DATE_EPOCH" /out/manager /out/stscred-agent

FROM ${BASE_IMAGE}
ARG VERSION=dev COMMIT=unknown CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="sts-credential-operator" \
      org.opencontainers.image.description="Keeps short-lived Alibaba Cloud STS credentials in Kubernetes Secrets" \
      org.opencontainers.image.source="https://github.com/stscredential/sts-credential-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /out/manager /out/stscred-agent /
# By number, so that Kubernetes can see that it is not root. Any other number does as well.
USER 65532:65532
ENTRYPOINT ["/manager"]
