//go:build slow

package integration

import (
	"testing"
	"time"
)

func TestFleetForAnHour(t *testing.T) { fleet(t, 20, time.Hour) }

func TestThousandStrangers(t *testing.T) { strangersFlood(t, 1000) }
