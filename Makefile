# The words of this project; CI uses the same ones.
#
#   make demo    show all of it on this machine
#   make test    the fast set of tests
#   make help    all words

GO        ?= go
FUZZTIME  ?= 20s
BENCHTIME ?= 1s

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS   = linux/amd64 linux/arm64 darwin/arm64 windows/amd64

.PHONY: help
help: ## say what the words do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build bin/swarm
	CGO_ENABLED=0 $(GO) build -o bin/ ./cmd/swarm

.PHONY: demo
demo: ## three workers, a controller and a mining pool on this machine, under a minute
	$(GO) run ./cmd/swarm demo

.PHONY: test
test: ## the fast set of tests, with the race detector
	$(GO) test -race -timeout 8m ./...

.PHONY: slow
slow: ## the fast set and the slow one
	$(GO) test -race -tags slow -timeout 60m ./...

.PHONY: lint
lint: ## format, vet (also for Windows and macOS), staticcheck, modern forms
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) vet -tags slow ./...
	GOOS=windows $(GO) vet -trimpath -tags slow ./...
	GOOS=darwin $(GO) vet -trimpath -tags slow ./...
	$(GO) run $(STATICCHECK) -tags slow ./...
	$(GO) fix -diff ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@for file in $$(git grep -l '^func Fuzz' -- '*_test.go'); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "== $$target in $$(dirname $$file)"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) || exit 1; \
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
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '-s -w' -o dist/swarm-$$os-$$arch$$ext ./cmd/swarm || exit 1; \
	done

.PHONY: clean
clean: ## remove what make has made
	rm -rf bin dist
