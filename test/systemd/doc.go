// Package systemd has tests that boot a bare Debian in namespaces, with its systemd as process 1, and
// install services of the real program there. They are in the slow set.
package systemd
