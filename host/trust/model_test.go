package trust

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"pgregory.net/rapid"
)

const (
	// modelHistories are played in the fast set.
	modelHistories = 5_000
	stepsOfHistory = 14

	// fromVariable sets the seed of the first history, and onlyVariable plays one alone, in words.
	fromVariable = "SWARM_MODEL_FROM"
	onlyVariable = "SWARM_MODEL_ONLY"
	// partVariable makes this program one of several that share the work: "FROM COUNT DIR STOP".
	partVariable = "SWARM_MODEL_PART"
)

// TestModel plays random histories of a fleet with thieves, wrong clocks, damaged files and
// take-overs over real Fleets, and holds each machine to the promises after every step. A history
// is repeated by its seed.
func TestModel(t *testing.T) {
	if part := os.Getenv(partVariable); part != "" {
		playPart(t, part)
		return
	}
	if only := os.Getenv(onlyVariable); only != "" {
		seed, err := strconv.ParseUint(only, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		out := newCast(t).history(t, seed, filepath.Join(memoryDir(t), "h"))
		t.Log(out)
		if out.broken != "" {
			t.Fail()
		}
		return
	}
	playModel(t, modelProgram(t, ""), modelHistories)
}

// outcome is how a history ended.
type outcome struct {
	broken string // the promise that does not hold; "" for none
	words  []string
	seen   map[string]bool
}

func (o outcome) String() string { return o.broken + "\n    " + strings.Join(o.words, "\n    ") }

// play is one history: steps of a mix of its own, then the owner takes over.
func (c *cast) play(rt *rapid.T, dir string) (out outcome) {
	w := newWorld(c, rt, dir)
	defer func() {
		out.words, out.seen = w.words, w.seen
		switch r := recover().(type) {
		case nil:
		case broken:
			out.broken = string(r)
		default:
			out.broken = fmt.Sprintf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	all := steps()
	weights := w.mix(all)
	if w.chance(6, 10) {
		w.steal(oneOf(w, "J1", "J2", "V", "K", "c2"))
	}
	for range stepsOfHistory {
		for _, n := range w.anyStep(all, weights).do(w) {
			w.check(n)
		}
	}
	for p := range w.stolen {
		w.seen["a key is stolen"] = true
		w.seen["a key for all is stolen"] = w.seen["a key for all is stolen"] || p == "J1" || p == "J2"
	}
	w.recover()
	return out
}

// history plays the history of a seed. The same seed gives the same one, also what is random in
// keys and serials.
func (c *cast) history(t *testing.T, seed uint64, dir string) outcome {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return rapid.Custom(func(rt *rapid.T) outcome { return c.play(rt, dir) }).Example(int(seed))
}

// memoryDir returns a folder that is not on a disk where there is one: most of the time of a
// history goes into syncing files otherwise.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "swarm-model-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// modelProgram returns a program that plays histories: this one, or where the race detector
// watches, which has nothing to find in a history and makes it eight times as long, one that is
// built without. An overlay replaces source files, see go help build.
func modelProgram(t testing.TB, overlay string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if overlay == "" && !underRace {
		return self
	}
	path := filepath.Join(t.TempDir(), "model.test")
	args := []string{"test", "-c", "-vet=off", "-o", path}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the model: %v\n%s", err, out)
	}
	return path
}

// toldEvery is after how many histories it is told what came of them.
const toldEvery = 500

// playPart plays some histories one after the other, and says how they ended line by line.
func playPart(t *testing.T, part string) {
	var from, count uint64
	var dir string
	var stop bool
	if _, err := fmt.Sscan(part, &from, &count, &dir, &stop); err != nil {
		t.Fatal(err)
	}
	c := newCast(t)
	seen := map[string]int{}
	tell := func(played uint64) {
		for what, n := range seen {
			fmt.Printf("seen %d %s\n", n, what)
		}
		clear(seen)
		fmt.Printf("played %d\n", played)
	}
	for seed := from; seed < from+count; seed++ {
		if n := seed - from; n > 0 && n%toldEvery == 0 {
			tell(toldEvery)
		}
		out := c.history(t, seed, dir)
		for what, yes := range out.seen {
			if yes {
				seen[what]++
			}
		}
		if out.broken != "" {
			fmt.Printf("broken %d %s\n", seed, strconv.Quote(out.String()))
			if stop {
				return
			}
		}
	}
	tell((count-1)%toldEvery + 1)
}

// told is what several programs have said of their parts.
type told struct {
	mu     sync.Mutex // guards what follows
	broken map[uint64]string
	seen   map[string]int
	played int
}

func (r *told) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	number, text, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil // of go test
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch word {
	case "broken":
		r.broken[n], err = strconv.Unquote(text)
	case "seen":
		r.seen[text] += int(n)
	case "played":
		r.played += int(n)
	}
	return err
}

// run has a program play a part.
func (r *told) run(ctx context.Context, program, dir string, from uint64, count int, stop bool) error {
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestModel$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s %v", partVariable, from, count, dir, stop), "GOMAXPROCS=1", "GOGC=400")
	var said, complained bytes.Buffer
	cmd.Stderr = &complained
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(io.TeeReader(out, &said))
	lines.Buffer(nil, 1<<20)
	for err == nil && lines.Scan() {
		err = r.line(lines.Text())
	}
	switch over := cmd.Wait(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case over != nil:
		return fmt.Errorf("%w\n%s%s", over, said.Bytes(), complained.Bytes())
	}
	return errors.Join(err, lines.Err())
}

// runParts has programs play histories on all processors.
func (r *told) runParts(t *testing.T, program string, from uint64, count int, stop bool) error {
	t.Helper()
	parts, dir, ctx := min(runtime.NumCPU(), 16), memoryDir(t), t.Context()
	if end, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, end.Add(-time.Minute), errors.New("there is no time left"))
		defer cancel()
	}
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			first, next := count*i/parts, count*(i+1)/parts
			errs[i] = r.run(ctx, program, filepath.Join(dir, fmt.Sprint(i)), from+uint64(first), next-first, stop)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// playModel plays histories on all processors, and fails with the words of those that break a
// promise.
func playModel(t *testing.T, program string, count int) {
	t.Helper()
	from := firstSeed(t)
	t.Logf("%d histories from %s=%d", count, fromVariable, from)
	r := &told{broken: map[uint64]string{}, seen: map[string]int{}}
	began := time.Now()
	if err := r.runParts(t, program, from, count, false); err != nil {
		t.Error(err)
	}
	t.Logf("%d histories, %d broken, in %v", r.played, len(r.broken), time.Since(began).Round(time.Second))
	for _, what := range slices.Sorted(maps.Keys(r.seen)) {
		t.Logf("%5.1f %%  %s", 100*float64(r.seen[what])/float64(count), what)
	}
	for n, seed := range slices.Sorted(maps.Keys(r.broken)) {
		if n < 5 {
			t.Errorf("history %d (%s=%d): %s", seed, onlyVariable, seed, r.broken[seed])
		} else {
			short, _, _ := strings.Cut(r.broken[seed], "\n")
			t.Errorf("history %d: %s", seed, short)
		}
	}
}

// firstSeed is another one each time, so that further histories are played each time.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(fromVariable)
	if text == "" {
		return uint64(time.Now().UnixMilli())
	}
	from, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return from
}
