# Everything a person or a machine does here. `make demo` and `make test` work on
# a machine that has Go, make, git and Debian's apt.

GO      ?= go
RELEASE ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BINARY  := bin/postern

# Tools are pinned, and run from the module cache. gotestsum lists at the end what was
# skipped and why, and counts it.
GOFUMPT     := $(GO) run mvdan.cc/gofumpt@v0.9.2
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOTESTSUM   := $(GO) run gotest.tools/gotestsum@v1.13.0 --format pkgname
CYCLONEDX   := $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

.PHONY: all build setup test test-unit test-e2e test-deploy soak bench demo lint fmt cross sbom image clean

all: build

build: $(BINARY)

.PHONY: $(BINARY)
$(BINARY):
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.release=$(RELEASE)' -o $@ ./cmd/postern

## test: everything, with a few of each of the long rounds
test: test-unit test-e2e test-deploy

## setup: the real clients and peers that tests use; it is quick when they are there
setup:
	sh e2e/setup.sh

test-unit: setup
	$(GO) vet ./...
	$(GOTESTSUM) -- -race -timeout 25m ./...

test-e2e: setup $(BINARY)
	cd e2e && POSTERN_BIN=$(CURDIR)/$(BINARY) $(GOTESTSUM) -- -count=1 -timeout 25m ./...

test-deploy: $(BINARY)
	cd deploy/check && POSTERN_BIN=$(CURDIR)/$(BINARY) $(GOTESTSUM) -- -count=1 -timeout 25m ./...

## soak: the long, repeated and destructive rounds
soak: setup $(BINARY)
	POSTERN_SOAK=10 $(GOTESTSUM) -- -race -count=1 -timeout 240m ./...
	cd e2e && POSTERN_SOAK=10 POSTERN_BIN=$(CURDIR)/$(BINARY) $(GOTESTSUM) -- -count=1 -timeout 240m ./...
	sh fuzz.sh 60s

## bench: against a direct call and a plain interceptor, in the same run
bench: $(BINARY)
	cd bench && $(GO) run . -postern ../$(BINARY)

## demo: the main road, both ways, with a kill in the middle
demo: $(BINARY)
	cd e2e && $(GO) run ./demo -postern ../$(BINARY)

## lint: format, vet, staticcheck
lint:
	@unformatted=$$($(GOFUMPT) -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofumpt-ed:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

fmt:
	$(GOFUMPT) -w $$(git ls-files '*.go')

## cross: it builds for every system it is meant for
cross:
	for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -trimpath -o /dev/null ./cmd/postern || exit 1; done

## sbom: what the binary is made of (CycloneDX)
sbom: $(BINARY)
	$(CYCLONEDX) bin -json -std -noserial -notimestamp -version $(RELEASE) -output $(BINARY).cdx.json $(BINARY)

## image: for this machine; for several architectures at once and into a registry:
##   docker buildx build --platform linux/amd64,linux/arm64 --sbom=true --provenance=true --push -t IMAGE ... as below
image:
	docker buildx build --load --build-arg VERSION=$(RELEASE) --build-arg REVISION=$$(git rev-parse HEAD) -t postern:$(RELEASE) .

clean:
	rm -rf bin
