package runcli

import "time"

// resizes returns a channel that has a value when the terminal may have another size, until stop. Nothing
// tells that here, so it is looked at now and then.
func resizes() (changes <-chan time.Time, stop func()) {
	tick := time.NewTicker(time.Second / 4)
	return tick.C, tick.Stop
}
