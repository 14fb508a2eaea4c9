package main

import "github.com/seed-b490fa12/swarm/internal/audit"

func opGetAudit() operation {
	return operation{
		Spec:    audit.GetAudit.Spec(),
		short:   "Read a machine's audit log as JSON; for a person, see: swarm audit",
		example: "  swarm controller exec get_audit rig-01 --json",
		fill:    fill[audit.Request](nil),
	}
}
