package output

import (
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"
)

// Progress is a bar on a terminal, of what many are sent at a time. It is safe for concurrent use.
type Progress struct {
	terminal io.Writer // nil: there is none
	what     string    // what is done

	mu   sync.Mutex // guards what follows
	sent map[string]int64
	bar  *progressbar.ProgressBar
}

// NewProgress returns the bar for w. Nothing is shown where that is no terminal.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{sent: make(map[string]int64), what: "sending"}
	if IsTerminal(w) {
		p.terminal = w
	}
	return p
}

// Called has the bar say what is done, where that is not sending.
func (p *Progress) Called(what string) *Progress {
	p.what = what
	return p
}

// Show shows how much of total each of them was sent, when one of them was sent so much.
func (p *Progress) Show(one string, sent, total int64) {
	if p.terminal == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.terminal), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription(p.what), progressbar.OptionClearOnFinish())
	}
	p.sent[one] = sent
	var all int64
	for _, n := range p.sent {
		all += n
	}
	p.bar.ChangeMax64(total * int64(len(p.sent)))
	p.bar.Set64(all)
}

// Clear takes the bar off the terminal, so that a line can be printed.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Clear()
	}
}
