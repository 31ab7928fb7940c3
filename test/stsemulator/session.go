// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// minDuration is the shortest session that STS grants.
	minDuration = 15 * time.Minute
	// defaultDuration holds when DurationSeconds is left out.
	defaultDuration = time.Hour
)

// The forms of the parameters, see
// https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerole.
var (
	roleARNForm        = regexp.MustCompile(`^acs:ram::(\d{1,20}):role/([A-Za-z0-9._-]{1,64})$`)
	providerARNForm    = regexp.MustCompile(`^acs:ram::\d{1,20}:oidc-provider/[A-Za-z0-9._-]{1,128}$`)
	sessionNameForm    = regexp.MustCompile(`^[A-Za-z0-9.@_-]{2,64}$`)
	externalIDForm     = regexp.MustCompile(`^[\w+=,.@:/-]*$`) // its length is checked apart: a repeat count ends at 1000
	sourceIdentityForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// session is what a call asks for, its form checked.
type session struct {
	roleARN        string
	name           string
	duration       time.Duration
	policy         string
	externalID     string
	sourceIdentity string
}

// readSession reads and checks the parameters that need no knowledge of the role.
func readSession(req *request) (session, *apiError) {
	asked := session{
		roleARN:        req.param("RoleArn"),
		name:           req.param("RoleSessionName"),
		policy:         req.param("Policy"),
		externalID:     req.param("ExternalId"),
		sourceIdentity: req.param("SourceIdentity"),
	}
	if asked.roleARN == "" {
		return session{}, missing("RoleArn")
	}
	if asked.name == "" {
		return session{}, missing("RoleSessionName")
	}
	var ok bool
	if asked.duration, ok = readDuration(req.param("DurationSeconds")); !ok {
		return session{}, durationError(time.Hour)
	}
	if code := asked.malformed(); code != "" {
		return session{}, newError(code)
	}
	return asked, nil
}

// malformed returns the error code of the first parameter that is not well formed.
func (s session) malformed() string {
	switch {
	case !roleARNForm.MatchString(s.roleARN):
		return "InvalidParameter.RoleArn"
	case !sessionNameForm.MatchString(s.name):
		return "InvalidParameter.RoleSessionName"
	case s.externalID != "" && !wellFormedExternalID(s.externalID):
		return "InvalidParameter.ExternalId"
	case s.sourceIdentity != "" && !wellFormedSourceIdentity(s.sourceIdentity):
		return "InvalidParameter.SourceIdentity"
	case s.policy == "":
		return ""
	case utf8.RuneCountInString(s.policy) > maxPolicy:
		return "InvalidParameter.PolicySize"
	case !validPolicy(s.policy):
		return "InvalidParameter.PolicyGrammar"
	default:
		return ""
	}
}

// readDuration reads DurationSeconds; its bounds depend on the role and are checked with it.
func readDuration(text string) (time.Duration, bool) {
	if text == "" {
		return defaultDuration, true
	}
	const enough = 10 // digits: more cannot be within any bound
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) > enough {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}

func wellFormedExternalID(id string) bool {
	return len(id) >= 2 && len(id) <= 1224 && externalIDForm.MatchString(id)
}

func wellFormedSourceIdentity(identity string) bool {
	for _, reserved := range []string{"acs:", "aliyun:", "alibabacloud:"} {
		if strings.HasPrefix(identity, reserved) {
			return false
		}
	}
	return sourceIdentityForm.MatchString(identity)
}

// roleName is a role's ARN, taken apart.
type roleName struct{ account, name string }

// parseRoleARN takes a role's ARN apart; of another string it returns nothing.
func parseRoleARN(arn string) roleName {
	match := roleARNForm.FindStringSubmatch(arn)
	if match == nil {
		return roleName{}
	}
	return roleName{account: match[1], name: match[2]}
}
