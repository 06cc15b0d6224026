# syntax=docker/dockerfile:1
# One static binary in an empty image. See docs/operations.md, "Docker".
FROM golang:1.26-bookworm AS build
ARG VERSION=devel
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${VERSION}" -o /out/postern ./cmd/postern
RUN mkdir -p -m 0755 /out/etc/postern /out/var/lib/postern/trust

FROM scratch
LABEL org.opencontainers.image.title="postern" org.opencontainers.image.description="A gate between an application and the APIs of others" org.opencontainers.image.source="https://github.com/postern-proxy/postern" org.opencontainers.image.licenses="Apache-2.0"
# The roots that providers' certificates are verified against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/postern /postern
COPY --from=build --chown=65532:65532 /out/etc/postern /etc/postern
COPY --from=build --chown=65532:65532 /out/var/lib/postern /var/lib/postern
ENV POSTERN_CONFIG=/etc/postern
USER 65532:65532
# Everything that is written is written here: the root file system can be read-only.
VOLUME ["/var/lib/postern"]
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/postern", "health"]
ENTRYPOINT ["/postern"]
CMD ["run"]
