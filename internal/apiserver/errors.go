// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ErrContended is returned for an object that another client changed before each try to write it.
var ErrContended = errors.New("repeated write conflicts, another client keeps updating it")

// IsConflict reports whether a write was refused because the object is not as it was read: it has changed, exists already or
// is gone.
func IsConflict(err error) bool {
	return apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// safeParts are the parts of the API server's messages that hold names and numbers only, with the next step. The rest may
// quote a Secret, as admission plug-ins do, or the URL of a request.
var safeParts = []struct {
	pattern  *regexp.Regexp
	nextStep string
}{
	{regexp.MustCompile("exceeded quota: [a-z0-9.-]+"), "Raise the quota"},
	{regexp.MustCompile("ValidatingAdmissionPolicy '[^']{1,253}' with binding '[^']{1,253}' denied request"), "Allow the operator's request in the policy"},
	{regexp.MustCompile("admission webhook \"[^\"]{1,253}\" denied the request"), "Allow the operator's request in the webhook"},
	{regexp.MustCompile("field is immutable when `immutable` is set"), "Delete the object, and create it without `immutable`"},
	{regexp.MustCompile("because it is being terminated"), "Use another namespace"},
}

// Describe returns the cause of a failed request and, if it is known, the next step. The text quotes neither the object nor the
// request. transient reports whether a retry may succeed.
func Describe(err error) (message string, transient bool) {
	if errors.Is(err, ErrContended) {
		return err.Error(), true
	}
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return "the API server did not answer; the operator retries", true
	}
	status := answered.Status()
	message = fmt.Sprintf("%s (%d)", status.Reason, status.Code)
	if cause := knownCause(status.Message); cause != "" {
		message += ": " + cause
	}
	return message, !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err)
}

// knownCause returns the cause in a message of the API server, with the next step; empty if it is not known.
func knownCause(message string) string {
	for _, part := range safeParts {
		if safe := part.pattern.FindString(message); safe != "" {
			return safe + ". " + part.nextStep
		}
	}
	return ""
}

// LacksPermission reports whether a request was refused because the client lacks a permission. Quotas, policies and webhooks
// forbid requests, too.
func LacksPermission(err error) bool {
	return apierrors.IsForbidden(err) && knownCause(err.Error()) == ""
}
