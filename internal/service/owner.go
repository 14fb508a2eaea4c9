package service

import (
	"os/user"
	"strconv"
)

// Owner is the user whom a state directory belongs to. The zero value is the user we run as.
type Owner struct {
	UID, GID int
	Name     string // of the user; its number where it has none
	Other    bool   // it is another one than we run as
}

func named(o Owner) Owner {
	o.Name = strconv.Itoa(o.UID)
	if u, err := user.LookupId(o.Name); err == nil {
		o.Name = u.Username
	}
	return o
}
