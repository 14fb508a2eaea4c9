package refpow

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// maxIntroductions is after how many refusals to subscribe us we believe the pool.
const maxIntroductions = 3

// introduction is how far the pool has got with taking us in.
type introduction struct {
	subscribed, authorized bool
	times                  int       // how often we have introduced ourselves
	last                   time.Time // when we did
}

// introduced reports whether nothing more is to be said. A job is as good as the answer to our name.
func (s *session) introduced() bool {
	return s.intro.subscribed && (s.intro.authorized || s.work != nil)
}

// patience is how long to wait for the pool's next message.
func (s *session) patience() time.Duration {
	if s.introduced() {
		return idleTime
	}
	return max(time.Millisecond, answerTime-time.Since(s.intro.last))
}

// introduce says who we are, as often as it takes. Some pools answer to a subscription without
// parameters only, some want to know the user before it.
func (s *session) introduce() error {
	if s.introduced() || s.intro.times > 0 && time.Since(s.intro.last) < answerTime {
		return nil
	}
	if time.Since(s.began) > introTime {
		return errors.New("the pool does not answer")
	}
	first := s.intro.times == 0
	s.intro.times++
	s.intro.last = time.Now()
	if first {
		return s.conn.Call(subscribeID, "mining.subscribe", Name+"/"+version)
	}
	if err := s.authorize(); err != nil || s.intro.subscribed {
		return err
	}
	return s.conn.Call(subscribeID, "mining.subscribe")
}

func (s *session) authorize() error {
	s.intro.last = time.Now()
	return s.conn.Call(authorizeID, "mining.authorize", s.rig.cfg.User, s.rig.cfg.Password)
}

// answer handles what is no request.
func (s *session) answer(m stratum.Message) error {
	id, known := stratum.Int(m.ID)
	if !known {
		id = s.guess(m)
	}
	switch id {
	case subscribeID:
		return s.subscribeAnswered(m)
	case authorizeID:
		return s.authorizeAnswered(m)
	}
	return s.shareAnswered(id, m)
}

// guess is what an answer without an ID answers: before we are taken in that can be told by its
// form. Else it is left alone.
func (s *session) guess(m stratum.Message) int {
	switch {
	case m.Refused():
		return 0
	case !s.intro.subscribed && len(stratum.Values(m.Result, "extranonce1")) > 1:
		return subscribeID
	case s.intro.subscribed && !s.intro.authorized && stratum.Yes(m.Result, false):
		return authorizeID
	}
	return 0
}

func (s *session) subscribeAnswered(m stratum.Message) error {
	if m.Refused() {
		return s.notSubscribed(m)
	}
	e, err := stratum.ParseSubscribed(m)
	if err != nil {
		return err
	}
	again := s.intro.subscribed && !reflect.DeepEqual(e, s.extranonce)
	s.extranonce, s.intro.subscribed = e, true
	switch {
	case again && s.work != nil:
		s.post(s.work.job)
	case s.early != nil:
		s.post(*s.early)
		s.early = nil
	}
	if s.intro.authorized {
		return nil
	}
	return s.authorize()
}

// notSubscribed tries another form before it takes no for an answer.
func (s *session) notSubscribed(m stratum.Message) error {
	if s.intro.subscribed {
		return nil
	}
	if s.intro.times >= maxIntroductions {
		return fmt.Errorf("the pool refused to subscribe us: %s", words(m))
	}
	s.intro.last = time.Time{}
	return nil
}

// authorizeAnswered takes the first answer: what a pool says of it later changes nothing, as long as
// it takes shares. Before we are subscribed a no may be about that.
func (s *session) authorizeAnswered(m stratum.Message) error {
	switch {
	case s.intro.authorized:
	case !m.Refused():
		s.intro.authorized = true
		s.working()
	case s.intro.subscribed:
		return fmt.Errorf("the pool refused the user or password: %s", words(m))
	}
	return nil
}

func (s *session) shareAnswered(id int, m stratum.Message) error {
	r := s.rig
	switch {
	case !s.closed(id):
	case m.Refused():
		n := r.rejected.Add(1)
		r.log.Printf("share rejected: %s (%d accepted, %d rejected)", words(m), r.accepted.Load(), n)
		return s.shareRefused(m)
	default:
		s.earned, s.unwelcome = true, 0
		n := r.accepted.Add(1)
		r.log.Printf("share accepted (%d accepted, %d rejected)", n, r.rejected.Load())
	}
	return nil
}

// shareRefused tells the pool again who we are when it has forgotten, and at last begins anew.
func (s *session) shareRefused(m stratum.Message) error {
	const unauthorized, notSubscribed = 24, 25
	if code := m.Code(); code != unauthorized && code != notSubscribed {
		return nil
	}
	if s.unwelcome++; s.unwelcome >= maxUnwelcome {
		return fmt.Errorf("the pool does not know us any more: %s", words(m))
	}
	if time.Since(s.intro.last) < answerTime {
		return nil
	}
	return s.authorize()
}

// post puts a job on the board. One that is there already goes on where it is, as the shares found
// so far would count for nothing if they were found again.
func (s *session) post(job stratum.Job) {
	w := &work{
		job: job, target: stratum.TargetOf(s.difficulty), extranonce: s.extranonce, found: s.found,
	}
	if old := s.work; old != nil && sameWork(old, w) {
		if old.target == w.target {
			return
		}
		w.next.Store(old.next.Load())
	}
	s.work = w
	s.working()
	s.rig.log.Printf("job %.64q at difficulty %g", job.ID, s.difficulty)
	s.rig.board.post(w)
}

func sameWork(a, b *work) bool {
	x, y := a.job, b.job
	x.Clean, y.Clean = false, false
	return reflect.DeepEqual(x, y) && reflect.DeepEqual(a.extranonce, b.extranonce)
}

func (s *session) working() {
	s.rig.state.Store(miner.Mining)
	s.rig.reason.Store("")
}
