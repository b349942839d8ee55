# Tools are pinned here and installed into bin/ by `make tools`, once.
GOLANGCI_LINT := v2.15.0
GOFUMPT       := v0.12.0
PROTOC_GO     := v1.36.12
PROTOC_GRPC   := v1.6.2

BIN      := $(CURDIR)/bin
FUZZTIME ?= 10s
CHAOSTIME ?= 10m
BENCH    ?= .
PKG      ?= ./...

.PHONY: all test race lint fmt bench fuzz chaos chaos-processes hostile cover gen tools kafka

all: lint test

test:
	go test $(PKG)

# RACEFLAGS=-count=5 for the repetitions that must be clean; they take longer than go test's ten minutes a package on a busy machine.
race:
	go test -race -timeout 30m $(RACEFLAGS) $(PKG)

lint: tools
	$(BIN)/golangci-lint run

fmt: tools
	$(BIN)/gofumpt -w $$(git ls-files '*.go' | grep -v '\.pb\.go$$')

bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

# Every fuzz target, one after another, for FUZZTIME each.
fuzz:
	@set -e; for package in $$(go list $(PKG)); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package; \
		done; \
	done

# Random faults against clusters in virtual time, with seeds that are new each time: for CHAOSTIME each with sessions in the agreed order, in memory and on disk, with
# a shared store, and for two nodes and one. A seed that fails is printed with the command that runs it again.
chaos:
	CHAOS_TIME=$(CHAOSTIME) go test -count=1 -timeout 24h -run '^TestChaos' -v ./cluster/clustertest/nemesis

# The same against three processes of examples/cluster, in real time, with files and with Redis. As root on Linux each has a host of its own, a network namespace, with
# links that lose packets; elsewhere there are proxies between them. CHAOS_KINDS, CHAOS_STORE, CHAOS_SEED and CHAOS_PROXIES narrow it down.
chaos-processes:
	CHAOS_TIME=$(CHAOSTIME) go test -count=1 -timeout 24h -run '^TestChaos$$' -v ./examples/cluster

# A hundred thousand connections that misbehave, beside one that does not.
hostile:
	go test -count=1 -run '^TestHostileConnections$$' -v -timeout 30m . -hostile 100000

# The jars of Apache Kafka's server, for tests. It needs Maven and Java.
kafka:
	mvn -q -f .ci/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(BIN)/kafka

cover:
	go test -coverpkg=./... -coverprofile=cover.out $(PKG)
	go tool cover -func=cover.out | tail -n 1

# The protobuf and gRPC code, which is committed. It needs protoc.
gen:
	GOBIN=$(BIN) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GO)
	GOBIN=$(BIN) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GRPC)
	cd cluster/internal/peer/peerpb && PATH="$(BIN):$$PATH" protoc --go_out=. --go_opt=paths=source_relative \
		--go-grpc_out=. --go-grpc_opt=paths=source_relative peer.proto

tools: $(BIN)/golangci-lint-$(GOLANGCI_LINT) $(BIN)/gofumpt-$(GOFUMPT)

$(BIN)/golangci-lint-$(GOLANGCI_LINT):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	touch $@

$(BIN)/gofumpt-$(GOFUMPT):
	GOBIN=$(BIN) go install mvdan.cc/gofumpt@$(GOFUMPT)
	touch $@
