package refpow

import (
	"fmt"
	"strings"
	"testing"
)

// submitted checks the name and the bytes of extranonce2 of the last share.
func submitted(id any, size2 int) func(*testing.T, *quirkyPool) {
	return func(t *testing.T, p *quirkyPool) {
		all := p.said("mining.submit")
		if len(all) == 0 {
			return // told as a gap
		}
		last := all[len(all)-1]
		if last[1] != id || len(last[2].(string)) != 2*size2 {
			t.Errorf("the last share is %v, want job %v and %d bytes", last, id, size2)
		}
	}
}

// reportedQuirks are those of public bug reports.
func reportedQuirks() []quirk {
	answer := func(id int, want string) func(*testing.T, *quirkyPool) {
		return func(t *testing.T, p *quirkyPool) {
			if all := p.answered(id); len(all) == 0 || all[0] != want {
				t.Errorf("answers to %d are %q, want %s", id, all, want)
			}
		}
	}
	return []quirk{
		{name: "none"},
		{name: "job before the subscription is answered", subscribe: goodDiff + "\n" + goodJob + "\n" + goodSubscribe, work: " "},
		{name: "IDs as text", subscribe: strings.Replace(goodSubscribe, "ID", `"ID"`, 1), authorize: `{"id":"ID","result":true}`,
			submit: `{"id":"ID","result":true}`},
		{name: "IDs as 1.0", subscribe: strings.Replace(goodSubscribe, "ID", `ID.0`, 1)},
		{name: "size of extranonce2 as text", subscribe: `{"id":ID,"result":[[],"08000002","6"],"error":null}`, check: submitted("a", 6)},
		{name: "size of extranonce2 is 8", subscribe: `{"id":ID,"result":[[],"08000002",8],"error":null}`, check: submitted("a", 8)},
		{name: "extranonce1 is empty", subscribe: `{"id":ID,"result":[[],"",4],"error":null}`},
		{name: "error is false", subscribe: `{"id":ID,"result":[[],"08",4],"error":false}`, authorize: `{"id":ID,"result":true,"error":false}`,
			submit: `{"id":ID,"result":true,"error":false}`},
		{name: "byte order mark", subscribe: "\xef\xbb\xbf" + goodSubscribe},
		{name: "a no to authorize after the yes", later: `{"id":2,"result":false,"error":null}`},
		{name: "blank lines", later: "\r\n \n\t\n"},
		{name: "blanks behind", work: goodDiff + "   \n" + goodJob + " \t"},
		{name: "difficulty as text", work: `{"id":null,"method":"mining.set_difficulty","params":["0.0000005"]}` + "\n" + goodJob},
		{name: "difficulty with an exponent", work: `{"id":null,"method":"mining.set_difficulty","params":[5e-7]}` + "\n" + goodJob},
		{name: "job ID as number", work: job("17", `[],"20000000","207fffff","6566aabb",true`), check: submitted(17.0, 4)},
		{name: "clean as 1", work: job(`"a"`, `[],"20000000","207fffff","6566aabb",1`)},
		{name: "clean left out", work: job(`"a"`, `[],"20000000","207fffff","6566aabb"`)},
		{name: "clean null", work: job(`"a"`, `[],"20000000","207fffff","6566aabb",null`)},
		{name: "branches null", work: job(`"a"`, `null,"20000000","207fffff","6566aabb",true`)},
		{name: "hex in upper case", work: job(`"a"`, `[],"2000000A","207FFFFF","6566AABB",true`)},
		{name: "job ID in Unicode", work: job(`"jób ☃"`, `[],"20000000","207fffff","6566aabb",true`), check: submitted("jób ☃", 4)},
		{name: "extra members", work: strings.Replace(goodJob, `{"id"`, `{"jsonrpc":"2.0","height":[1,{"a":2}],"id"`, 1)},
		{name: "set_extranonce of one value", later: `{"id":null,"method":"mining.set_extranonce","params":["0800aabb"]}` + "\n" + goodJob},
		{name: "set_extranonce with another size", later: `{"id":null,"method":"mining.set_extranonce","params":["0800aabb",2]}` + "\n" + goodJob,
			check: submitted("a", 2)},
		{name: "an answer without ID", later: `{"id":null,"result":null,"error":[20,"Other/Unknown",null]}`},
		{name: "ping", later: `{"id":42,"method":"mining.ping","params":[]}`, check: answer(42, `"pong"null`)},
		{name: "get_version", later: `{"id":43,"method":"client.get_version","params":[]}`, check: answer(43, `"refpow/1.0"null`)},
		{name: "unknown request", later: `{"id":44,"method":"client.no_such","params":[]}`, check: answer(44, `null[-3,"Method not found",null]`)},
		{name: "reconnect and a message", later: `{"id":null,"method":"client.show_message","params":["a\u202e"]}` + "\n" +
			`{"id":null,"method":"client.reconnect","params":["evil.example",1,1]}`},
		{name: "Latin-1", later: "{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"f\xfcr\"]}"},
		{name: "a member twice", work: strings.Replace(goodJob, `"id":null`, `"id":null,"id":null`, 1)},
		{name: "line of 80,000 bytes", work: strings.Replace(goodJob, `"ffff"`, `"`+strings.Repeat("ff", 40000)+`"`, 1)},
		{name: "result null is a yes", submit: `{"id":ID,"result":null,"error":null}`},
		{name: "version mask", later: `{"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}`},
	}
}

// inventedQuirks are those that stand in no report we know.
func inventedQuirks() []quirk {
	return []quirk{
		{name: "greets with a banner", hello: "220 pool.example ESMTP ready\r\nWelcome, miner!"},
		{name: "names the parameters of a job", work: `{"method":"mining.notify","params":{"job_id":"a","prevhash":"` + zeros +
			`","coinb1":"01","coinb2":"02","merkle_branch":[],"version":"20000000","nbits":"207fffff","ntime":"6566aabb"}}`},
		{name: "names what it subscribed", subscribe: `{"id":ID,"result":{"extranonce1":"0a","extranonce2_size":3}}`, check: submitted("a", 3)},
		{name: "leaves out the subscriptions", subscribe: `{"id":ID,"result":["08000002",5]}`, check: submitted("a", 5)},
		{name: "leaves out the size", subscribe: `{"id":ID,"result":[null,"08000002"]}`, check: submitted("a", 4)},
		{name: "leaves nothing to the miner", subscribe: `{"id":ID,"result":[null,"08000002",0]}`, check: submitted("a", 0)},
		{name: "writes 0x", subscribe: `{"id":ID,"result":[null,"0x08000002",4]}`, work: job(`"a"`, `[],"0x20000000","0x207fffff","0x6566aabb",true`)},
		{name: "loses leading zeros", subscribe: `{"id":ID,"result":[null,"8000002",4]}`, work: job(`"a"`, `[],"2","207fffff","6566aabb",true`)},
		{name: "writes numbers as numbers", work: job(`"a"`, `[],536870912,545259519,1701227195,true`)},
		{name: "wraps parameters twice", work: `{"method":"mining.set_difficulty","params":[[0.5]]}` + "\n" +
			strings.NewReplacer(`"params":[`, `"params":[[`, `true]`, `true]]`).Replace(goodJob)},
		{name: "gives the difficulty alone", work: `{"method":"mining.set_difficulty","params":0.5}` + "\n" + goodJob},
		{name: "never tells a difficulty", work: goodJob},
		{name: "tells the difficulty after the job", work: goodJob + "\n" + goodDiff},
		{name: "tells a difficulty of 0", later: `{"method":"mining.set_difficulty","params":[0]}` + "\n" + goodJob},
		{name: "tells a difficulty that is none", later: `{"method":"mining.set_difficulty","params":[null]}` + "\n" + `{"method":"mining.set_difficulty"}`},
		{name: "ends no line", raw: true},
		{name: "ends lines with CR", raw: true, subscribe: goodSubscribe + "\r", authorize: goodYes + "\r", submit: goodYes + "\r",
			work: goodDiff + "\r" + goodJob + "\r"},
		{name: "ends lines with NUL", subscribe: goodSubscribe + "\x00", submit: goodYes + "\x00"},
		{name: "writes over several lines", subscribe: "{\n  \"id\": ID,\n  \"result\": [\n    [],\n    \"0800\",\n    4\n  ],\n  \"error\": null\n}",
			work: strings.ReplaceAll(goodJob, ",", ",\n")},
		{name: "puts all into one line", work: goodDiff + goodJob, submit: goodYes + goodDiff},
		{name: "sends lists", work: "[" + goodDiff + "," + goodJob + "]", submit: "[" + goodYes + "]"},
		{name: "cuts a line off", later: `{"id":null,"method":"mining.notify","params":["b","00` + "\n" + goodDiff},
		{name: "sends a line without end", later: strings.Repeat("x", 300<<10)},
		{name: "sends jobs that are none", later: `{"method":"mining.notify","params":["b","zz","","",[],"","","",true]}` + "\n" +
			`{"method":"mining.notify","params":null}` + "\n" + `{"method":"mining.notify","params":["c"]}`},
		{name: "sends an extranonce that is none", later: `{"method":"mining.set_extranonce","params":["xyz",-1]}` + "\n" +
			`{"method":"mining.set_extranonce","params":[]}` + "\n" + `{"method":"mining.set_extranonce","params":["00",1000000000]}` + "\n" + goodJob,
			check: submitted("a", 4)},
		{name: "repeats the method in answers", subscribe: strings.Replace(goodSubscribe, "{", `{"method":"mining.subscribe",`, 1),
			authorize: `{"id":ID,"method":"mining.authorize","result":true}`, submit: `{"id":ID,"method":"mining.submit","result":true}`},
		{name: "writes names as it likes", work: strings.NewReplacer("method", "Method", "params", "PARAMS", "mining.notify", "Mining.Notify").Replace(goodJob)},
		{name: "gives no IDs", subscribe: strings.Replace(goodSubscribe, "ID", "null", 1), authorize: `{"result":true}`, submit: `{"result":true}`},
		{name: "says yes in words", authorize: `{"id":ID,"result":"true","error":""}`, submit: `{"id":ID,"result":{"status":"OK"},"error":{}}`},
		{name: "has an error without one", authorize: `{"id":ID,"result":true,"error":[]}`, submit: `{"id":ID,"result":true,"error":[0,"",null]}`},
		{name: "never answers to the user", authorize: " "},
		{name: "never answers to shares", submit: " "},
		{name: "answers each share twice", submit: goodYes + "\n" + goodYes},
		{name: "sends the same job again and again", later: goodJob, check: noShareTwice},
		{name: "numbers its notices", later: strings.Replace(goodJob, "null", "0", 1) + "\n" + strings.Replace(goodDiff, "null", `"7"`, 1)},
		{name: "subscribes without parameters only", answers: func(_ *quirkyPool, m heard) (string, bool) {
			return `{"id":ID,"result":null,"error":[20,"Invalid params",null]}`, m.Method == "mining.subscribe" && len(m.Params) > 0
		}},
		{name: "wants the user first", answers: func(p *quirkyPool, m heard) (string, bool) {
			return `{"id":ID,"result":null,"error":[24,"Unauthorized",null]}`, m.Method == "mining.subscribe" && len(p.said("mining.authorize")) == 0
		}},
		{name: "hears the second word only", answers: func(p *quirkyPool, _ heard) (string, bool) { return "", len(p.lines) == 1 }},
		{name: "forgets the user", answers: func(p *quirkyPool, m heard) (string, bool) {
			n := len(p.said("mining.submit"))
			forgot := n >= 50 && len(p.said("mining.authorize")) < 2
			return `{"id":ID,"result":null,"error":[24,"Unauthorized worker",null]}`, m.Method == "mining.submit" && forgot
		}},
		{name: "forgets the subscription", conns: 2, answers: func(p *quirkyPool, m heard) (string, bool) {
			return `{"id":ID,"result":null,"error":[25,"Not subscribed",null]}`, m.Method == "mining.submit" && len(p.said("mining.submit")) >= 50 && p.conns < 2
		}},
		{name: "closes after each tenth share", conns: 60, answers: func(p *quirkyPool, m heard) (string, bool) {
			return "close", m.Method == "mining.submit" && len(p.said("mining.submit"))%10 == 0
		}},
		{name: "sends a thousand lines that are none", later: strings.Repeat("# keepalive\n", 900) + goodJob},
		{name: "sends values that are no messages", later: "null\ntrue\n17\n\"ping\"\n[]\n{}\n[[]]\n{\"id\":null}\n{\"jsonrpc\":\"2.0\"}"},
		{name: "pings without an ID", later: `{"method":"mining.ping","params":null}`},
		{name: "nests deeply", later: `{"id":1,"result":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`},
		{name: "answers to what nobody asked", later: `{"id":999999,"result":false,"error":[21,"Job not found",null]}` + "\n" + `{"id":1,"result":false}` + "\n" +
			`{"id":-1,"result":true}` + "\n" + `{"id":{"a":1},"result":true}`},
		{name: "subscribes again with another extranonce", later: `{"id":1,"result":[[],"0900",7],"error":null}`, check: submitted("a", 7)},
	}
}

// noShareTwice checks that work that was done is not done again.
func noShareTwice(t *testing.T, p *quirkyPool) {
	seen := make(map[string]bool)
	for _, share := range p.said("mining.submit") {
		extranonce2 := fmt.Sprint(share[2])
		if seen[extranonce2] {
			t.Fatalf("extranonce2 %s was tried twice", extranonce2)
		}
		seen[extranonce2] = true
	}
}
