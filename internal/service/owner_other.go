//go:build !unix

package service

import (
	"context"
	"errors"
	"io"
)

// OwnerOf says that a directory is ours: here the system keeps others out of it.
func OwnerOf(string) (Owner, error) { return Owner{}, nil }

// AccountOwner says that there is no such user.
func AccountOwner() (Owner, error) { return Owner{}, ErrNoSystemd }

// Run is not for this system.
func (o Owner) Run(context.Context, io.Reader, io.Writer, io.Writer, []string, ...string) (int, error) {
	return 0, errors.ErrUnsupported
}
