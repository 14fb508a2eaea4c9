package refpow

import (
	"io"
	"log"
	"net"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
)

// FuzzPoolSays gives the miner any line a pool could send.
func FuzzPoolSays(f *testing.F) {
	f.Add([]byte(`{"id":1,"result":[[["mining.notify","a"]],"08000002",4],"error":null}`))
	f.Add([]byte(`{"id":2,"result":true,"error":null}`))
	f.Add([]byte(`{"id":"3","result":null,"error":[23,"low difficulty share\u001b[31m",null]}`))
	f.Add([]byte(`{"id":null,"method":"mining.set_difficulty","params":[0]}`))
	f.Add([]byte(`{"id":null,"method":"mining.set_extranonce","params":["00",1000000000]}`))
	f.Add([]byte(`{"id":null,"method":"client.reconnect","params":["evil.example",3333]}`))
	f.Add([]byte(`{"id":null,"method":"mining.notify","params":["a","0000000000000000000000000000000000000000000000000000000000000000","","",[],"00000001","1d00ffff","495fab29",true]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := stratum.Parse(line)
		if err != nil {
			return
		}
		here, there := net.Pipe()
		drained := make(chan struct{})
		go func() { defer close(drained); _, _ = io.Copy(io.Discard, there) }()
		r := &rig{log: log.New(io.Discard, "", 0)}
		s := r.newSession(here)
		s.extranonce, s.intro.subscribed = stratum.Extranonce{First: []byte{1}, Size2: 4}, true
		s.opened(firstShareID)
		_ = s.take(m)
		if w, _ := r.board.look(); w != nil {
			if n := len(w.nextExtranonce2()); n != w.extranonce.Size2 || n > stratum.MaxExtranonce {
				t.Errorf("extranonce2 of %d bytes, announced were %d", n, w.extranonce.Size2)
			}
		}
		_ = here.Close()
		<-drained
	})
}

// FuzzStatusFile gives the adapter any file.
func FuzzStatusFile(f *testing.F) {
	f.Add([]byte(`{"time":1,"state":"mining","hashRate":5,"accepted":1,"rejected":0,"pool":"a:1"}`))
	f.Add([]byte(`{"time":1e999}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStatus(b); err != nil && s != (status{}) {
			t.Errorf("got %+v with %v", s, err)
		}
	})
}
