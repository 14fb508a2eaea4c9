package main

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

func TestBothSides(t *testing.T) {
	nics, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nics, func(n net.Interface) bool { return n.Flags&net.FlagLoopback != 0 && n.Flags&net.FlagUp != 0 })
	port, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if i < 0 || err != nil {
		t.Skip("SKIPPED: no loopback interface is up: ", err)
	}
	port.Close()
	beacon := discovery.BeaconConfig{Interface: nics[i].Name, Port: port.LocalAddr().(*net.UDPAddr).Port}
	ctx, stop := context.WithCancel(t.Context())
	var one, other strings.Builder
	ended := make(chan error, 1)
	go func() { ended <- announced(ctx, &one, beacon) }()
	looking, enough := context.WithTimeout(ctx, 30*time.Second)
	defer enough()
	if err := explore(looking, &other, beacon, 1); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	id, _, _ := strings.Cut(one.String(), " ")
	if !strings.HasPrefix(other.String(), id+" at ") || !strings.Contains(other.String(), "lifecycle") {
		t.Errorf("%s can be found, and the explorer says %q", id, other.String())
	}
}
