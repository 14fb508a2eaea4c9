package agent

import "time"

// slowest is how many times longer than wanted the pause between two pushes may become.
const slowest = 8

// pace is how often stats are pushed: half as often after each push that came while the links lost
// more than a tenth of what was sent, down to an eighth, and as often as wanted again step by step.
// What is pushed is superseded soon; what it displaces on a full link is not. It is for one
// goroutine.
type pace struct {
	wanted     time.Duration // between two pushes
	now        time.Duration
	sent, lost uint64 // at the last push
}

// next returns the pause after a push, given how many packets have been sent and lost by now. Either
// may be less than before, when connections have ended.
func (p *pace) next(sent, lost uint64) time.Duration {
	full := sent > p.sent && lost > p.lost && (lost-p.lost)*10 > sent-p.sent
	p.sent, p.lost = sent, lost
	if full {
		p.now = min(2*max(p.now, p.wanted), slowest*p.wanted)
	} else {
		p.now = max(p.now/2, p.wanted)
	}
	return p.now
}
