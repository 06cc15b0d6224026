# syntax=docker/dockerfile:1
# One static binary in an empty image. See docs/operations.md, "Docker".

# It is built on the machine's own architecture for the one that is asked for:
# nothing is emulated.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
ARG REVISION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -ldflags "-s -w -X main.release=${VERSION} -X main.commit=${REVISION}" -o /out/postern ./cmd/postern
# What the binary is made of, by what its linker wrote into it.
RUN go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -std -noserial -notimestamp -version "${VERSION}" -output /out/postern.cdx.json /out/postern
RUN mkdir -p -m 0755 /out/etc/postern /out/var/lib/postern/trust

FROM scratch
ARG VERSION=devel
ARG REVISION=
LABEL org.opencontainers.image.title="postern" org.opencontainers.image.description="A gate between an application and the APIs of others" org.opencontainers.image.source="https://github.com/postern-proxy/postern" org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
# The roots that providers' certificates are verified against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/postern /postern
COPY --from=build /out/postern.cdx.json /postern.cdx.json
COPY --from=build --chown=65532:65532 /out/etc/postern /etc/postern
COPY --from=build --chown=65532:65532 /out/var/lib/postern /var/lib/postern
ENV POSTERN_CONFIG=/etc/postern TMPDIR=/var/lib/postern
USER 65532:65532
# Everything that is written is written here: the root file system can be read-only.
VOLUME ["/var/lib/postern"]
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/postern", "health"]
ENTRYPOINT ["/postern"]
CMD ["run"]
