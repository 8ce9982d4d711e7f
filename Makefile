# What must be installed: Go. The rest is fetched.

export CGO_ENABLED ?= 0
GOFUMPT       = go run mvdan.cc/gofumpt@v0.12.0
GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME     ?= 10s

# make bench
SCALE    ?= 1
ROUNDS   ?= 5
CAPTURES ?= testdata/pcaps
CACHE    ?= $(if $(TMPDIR),$(TMPDIR),/tmp)/tcplife-bench

.PHONY: build test race lint fmt fuzz cross bench update lab man clean

build: ## the program, as ./tcplife
	go build -trimpath ./cmd/tcplife

test:
	go test ./...

race:
	CGO_ENABLED=1 go test -race ./...

lint:
	go vet ./...
	$(GOLANGCI_LINT) run ./...

fmt:
	$(GOFUMPT) -w .

fuzz: ## every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

cross: ## the platforms that must build without cgo, into dist/
	.ci/cross

bench: ## how fast tcplife is (docs/performance.md); SCALE=0.05 for a minute's worth, CAPTURES=DIR for W6, CACHE=DIR for 14 GB
	@go run ./internal/bench -scale $(SCALE) -rounds $(ROUNDS) -captures "$(CAPTURES)" -cache "$(CACHE)" $(BENCHFLAGS)

update: ## rewrite goldens, script answers and the README's output; then read the diff
	go test ./track ./report ./report/anomaly ./cmd/tcplife -update
	git diff --stat

lab: ## record testdata/pcaps again; needs root on Linux
	go run ./internal/lab -o testdata/pcaps
	go test ./cmd/tcplife -update

man: ## the man pages, into man/
	go run -tags man ./cmd/tcplife man man

clean:
	rm -rf tcplife dist man
