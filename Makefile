# The version is the nearest tag, or the commit where there is none.
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
SEEDS    ?= 500
FUZZTIME ?= 30s
SOAK     ?= 1h
LINTER   := bin/golangci-lint

.PHONY: build test lint check torture fuzz bench soak deps clean

build: ## one static binary, ./bin/huddle
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/huddle ./cmd/huddle

test: deps ## everything, with the race detector and real clients
	go test -race -shuffle=on -timeout 14m ./...
	go test ./cache/internal/s3fifo # hit ratios: much arithmetic, and nothing that races
	cd bench/etcd && go test ./...

lint: $(LINTER)
	go mod tidy -diff
	$(LINTER) run ./...
	cd bench/etcd && go mod tidy -diff && ../../$(LINTER) run ./...
	cd internal/e2e/goclients && go mod tidy -diff && ../../../$(LINTER) run ./...

check: test lint

torture: ## the seeded tests with SEEDS seeds each
	HUDDLE_SEEDS=$(SEEDS) go test -shuffle=on -timeout 12h ./...

fuzz: ## every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

bench: ## beside redis-server and etcd, in one run
	scripts/deps bench
	go run ./bench

soak: ## churns the cache of one node for SOAK, and watches its memory
	go run ./bench/soak --for $(SOAK)

deps:
	scripts/deps

clean:
	rm -rf bin internal/e2e/node/node_modules

# The linter has a module of its own: nobody who imports Huddle gets its two
# hundred dependencies.
$(LINTER): tools/go.mod tools/go.sum
	cd tools && go build -o ../$(LINTER) github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	touch $(LINTER)
