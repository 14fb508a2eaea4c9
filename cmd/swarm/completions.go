package main

import (
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/complete"
)

// completions are the values that flags take; those of machines and labels are looked up.
func completions() complete.Words {
	issuable := []string{string(trust.RoleWorker), string(trust.RoleRelay), string(trust.RoleViewer), string(trust.RoleController)}
	miners := []string{"refpow", "xmrig"}
	return complete.Words{
		"verbs": knownVerbs(), "issue": issuable, "role": append(issuable, string(trust.RoleIssuer)),
		"join role": {string(trust.RoleWorker), string(trust.RoleRelay)},
		"miner":     miners, "enable": {"miner=refpow", "miner=xmrig", "deploy", "deploy=", "pool=", "wallet=", "run", "shell", "shell=", "workload", "power", "forward=", "cp="},
		"start name": miners, "stop name": miners, "logs name": miners,
		"profile": {"eco", "balanced", "full"}, "beacon": {"multicast", "broadcast", "false"},
		"log-level": {"debug", "info", "warn", "error"},
	}
}
