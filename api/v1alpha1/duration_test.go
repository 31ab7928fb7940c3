// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// generated is how many durations are tried for each field.
const generated = 300

var durationSyntax = regexp.MustCompile(`^([0-9]{1,5}(h|m|s)){1,3}$`)

// Whatever duration is admitted decodes to a value within the bounds, and whatever is within them is admitted.
func TestGeneratedDurations(t *testing.T) {
	for _, test := range []struct {
		field, kind, base string
		least, most       time.Duration
		get               func(spec any) time.Duration
	}{
		{"duration", credentialKind, role, 15 * time.Minute, 12 * time.Hour, func(spec any) time.Duration {
			return spec.(v1alpha1.StsCredentialSpec).Duration.Duration
		}},
		{"renewBefore", credentialKind, role + "\nduration: 12h", time.Minute, 11*time.Hour + 55*time.Minute, func(spec any) time.Duration {
			return spec.(v1alpha1.StsCredentialSpec).RenewBefore.Duration
		}},
		{"maxDuration", grantKind, grant, 15 * time.Minute, 12 * time.Hour, func(spec any) time.Duration {
			return spec.(v1alpha1.StsRoleGrantSpec).MaxDuration.Duration
		}},
	} {
		t.Run(test.field, func(t *testing.T) {
			admitted := 0
			for i := range generated {
				given := duration(test.field, i)
				value, err := time.ParseDuration(given)
				good := err == nil && durationSyntax.MatchString(given) && value >= test.least && value <= test.most
				o := object(t, test.kind, "generated", test.base, fmt.Sprintf("%s: %q", test.field, given))
				switch err := admin.Create(t.Context(), o, client.DryRunAll); {
				case err != nil && (good || !apierrors.IsInvalid(err)):
					t.Errorf("%s: %v", given, err)
				case err == nil && !good:
					t.Errorf("%s: admitted; want it refused", given)
				case err == nil:
					admitted++
					if got := test.get(typed(t, o)); got != value {
						t.Errorf("%s: reads as %s; want %s", given, got, value)
					}
				}
			}
			if admitted < generated/10 || admitted > generated*9/10 {
				t.Errorf("%d of %d admitted: that tests one side only", admitted, generated)
			}
		})
	}
}

// duration makes up the i-th duration: of every kind of part, from noise to what people write. It is the same one in
// every run, so that a failure can be looked at.
func duration(field string, i int) string {
	sum := sha256.Sum256(fmt.Append(nil, field, i))
	next := func(n int) int { // Takes a byte off the sum, which stands in for chance.
		sum = [32]byte(append(sum[1:], sum[0]))
		return int(sum[31]) % n
	}
	var text strings.Builder
	if next(4) == 0 {
		for range next(20) {
			text.WriteByte("0123456789hms"[next(13)])
		}
		return text.String()
	}
	for range 1 + next(4) {
		switch unit := "hms"[next(3)]; {
		case next(8) == 0:
			fmt.Fprintf(&text, "%0*d%c", 1+next(6), next(256)*next(256), unit)
		case unit == 'h':
			fmt.Fprintf(&text, "%dh", next(7))
		case unit == 'm':
			fmt.Fprintf(&text, "%0*dm", 1+next(3), next(60))
		default:
			fmt.Fprintf(&text, "%ds", next(200)*10)
		}
	}
	return text.String()
}
