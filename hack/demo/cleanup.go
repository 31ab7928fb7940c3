// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// cleanup is what is to be undone, in the order in which it was done.
type cleanup []undo

// undo takes one thing back; what names it for the user if that fails.
type undo struct {
	what string
	do   func(context.Context) error
}

// add is called before the thing is done, since it may also be done halfway.
func (c *cleanup) add(what string, do func(context.Context) error) {
	*c = append(*c, undo{what, do})
}

// run undoes all of it, the last first, whatever becomes of the others.
func (c *cleanup) run(ctx context.Context) error {
	var errs []error
	for _, u := range slices.Backward(*c) {
		if err := u.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.what, err))
		}
	}
	*c = nil
	return errors.Join(errs...)
}
