# The words of this project; CI uses the same ones.
#
#   make demo    show all of it on this machine
#   make test    the fast set of tests
#   make help    all words

GO        ?= go
FUZZTIME  ?= 20s
BENCHTIME ?= 1s

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE    = golang.org/x/tools/cmd/deadcode@v0.51.0
PLATFORMS   = linux/amd64 linux/arm64 darwin/arm64 windows/amd64

# What no program of ours uses, and is there all the same: libraries for tests, the pool for tests and the demo, and methods
# that fmt calls, which keep secrets out of logs.
ALIVE = -e '^streams/streamtest/' -e '^test/' -e '^internal/refpow/pool/' -e 'String$$'

# Tests that take both processors for a long time, in programs without the race detector.
ALONE = ^Test(ModelLong|Mutants)$$

# How programs are built; checks are made in the same way, so that they find the packages compiled.
STATIC = CGO_ENABLED=0

.PHONY: help
help: ## say what the words do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build bin/swarm
	$(STATIC) $(GO) build -o bin/ ./cmd/swarm

.PHONY: man
man: build ## write the manual pages to bin/man
	bin/swarm man bin/man

.PHONY: demo
demo: build ## three workers, a controller and a mining pool on this machine, under a minute
	bin/swarm demo

.PHONY: test
test: ## the fast set of tests, with the race detector
	$(GO) test -race -timeout 14m ./...

.PHONY: slow
slow: ## the fast set and the slow one
	$(GO) test -race -tags slow -timeout 60m -skip '$(ALONE)' ./...
	$(GO) test -tags slow -timeout 100m -run '$(ALONE)' -v ./host/trust
	$(GO) test -tags slow -timeout 40m -run '^Test(ThousandStrangers|Hundreds|IdleBudgets|StrangersHoardMemory.*|MembersCostLittle)$$' -v ./test/integration

.PHONY: lint
lint: ## format, vet (also for Windows and macOS), staticcheck, modern forms, dead code
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(STATIC) $(GO) vet -tags slow ./...
	$(STATIC) GOOS=windows $(GO) vet -tags slow ./...
	$(STATIC) GOOS=darwin GOARCH=arm64 $(GO) vet -tags slow ./...
	$(STATIC) $(GO) run $(STATICCHECK) -tags slow ./...
	$(STATIC) $(GO) fix -diff ./...
	@dead=$$($(STATIC) $(GO) run $(DEADCODE) ./... | grep -v $(ALIVE)); test -z "$$dead" || { echo "only tests use this:"; echo "$$dead"; exit 1; }

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "== $$target in $$(dirname $$file)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$(dirname $$file) || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## benchmarks with allocations
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

.PHONY: cross
cross: ## build for all platforms into dist/
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/}; ext=; test $$os != windows || ext=.exe; \
		echo "== $$platform"; \
		$(STATIC) GOOS=$$os GOARCH=$$arch $(GO) build -ldflags '-s -w' -o dist/swarm-$$os-$$arch$$ext ./cmd/swarm || exit 1; \
	done

.PHONY: clean
clean: ## remove what make has made
	rm -rf bin dist
