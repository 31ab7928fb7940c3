// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

var env, volume = Workload{"Deployment", "env"}, Workload{"Deployment", "volume"}

// namespace is a namespace at 11:30, see issue: pods from 10:30 and from 11:25 of each workload, and some of nobody.
func namespace(t *testing.T) []Pod {
	pod := func(name string, w Workload, how How, started, since string) Pod {
		p := Pod{Name: name, Workload: w, Created: at(t, started), Started: at(t, started), Reads: map[string]Read{}}
		if how != 0 {
			p.Reads["orders"] = Read{How: how, Since: at(t, since)}
		}
		return p
	}
	ending := pod("env-ending", env, EnvFrom, "10:30:00", "10:30:00")
	ending.Terminating = true
	return []Pod{
		pod("env-2", env, EnvFrom, "10:45:00", "10:45:00"), pod("env-1", env, EnvFrom, "10:30:00", "10:30:00"),
		pod("env-new", env, EnvFrom, "11:25:00", "11:25:00"), ending,
		pod("volume-old", volume, Volume, "10:30:00", ""), pod("volume-new", volume, Volume, "11:25:00", ""),
		pod("job", Workload{}, Env, "10:50:00", "10:50:00"), pod("other", Workload{"Deployment", "other"}, 0, "10:00:00", ""),
	}
}

func names(pods []StalePod) (all []string) {
	for _, p := range pods {
		all = append(all, p.Name)
	}
	return all
}

func TestSurvey(t *testing.T) {
	third := issue(t)
	first := Issue{Credential: "orders", ID: "R-1", WrittenAt: at(t, "11:20:00")}
	for _, tt := range []struct {
		name  string
		issue Issue
		wish  Wish
		left  string
		due   string
	}{
		{"nobody asks", third, Wish{}, "[env-1 env-2 job]", ""},
		{"what cannot refresh", third, Wish{Auto: true}, "[job]", "Deployment env [env-1 env-2]"},
		{"a target that can", third, Wish{Targets: []Workload{volume}}, "[env-1 env-2 job]", "Deployment volume [volume-old]"},
		{"a target and what cannot", third, Wish{Auto: true, Targets: []Workload{volume}}, "[job]", "Deployment env [env-1 env-2] Deployment volume [volume-old]"},
		{"a target that does not read it", third, Wish{Targets: []Workload{{"Deployment", "other"}}}, "[env-1 env-2 job]", "Deployment other [other]"},
		{"a target that there is not", third, Wish{Targets: []Workload{{"DaemonSet", "env"}}}, "[env-1 env-2 job]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, due := Survey("orders", tt.issue, tt.wish, namespace(t)), ""
			for i, d := range got.Due {
				if reads := d.Workload.Name != "other"; d.Reads != reads {
					t.Errorf("%s reads the Secret: %v", d.Workload, d.Reads)
				}
				if i > 0 {
					due += " "
				}
				due += fmt.Sprint(d.Workload, " ", names(d.Pods))
			}
			stale := fmt.Sprint(names(got.Stale))
			if got.Pods != 7 || stale != "[env-1 env-ending env-2 job]" || fmt.Sprint(names(got.Left)) != tt.left || due != tt.due {
				t.Errorf("%d pods, stale %s, left %v, due %q", got.Pods, stale, names(got.Left), due)
			}
			if !got.Stale[0].Held.ExpiresAt.Equal(at(t, "11:00:00")) {
				t.Errorf("the first expires at %v", got.Stale[0].Held.ExpiresAt)
			}
		})
	}
	if got := Survey("orders", first, Wish{Auto: true, Targets: []Workload{volume}}, namespace(t)); got.Pods != 7 || len(got.Stale)+len(got.Left)+len(got.Due) != 0 {
		t.Errorf("the first issue makes stale: %+v", got)
	}
}

func TestNext(t *testing.T) {
	due := Due{Workload: env, Pods: []StalePod{{"env-1", Replaced{WrittenAt: at(t, "10:40:00"), ExpiresAt: at(t, "11:40:00")}}}, Reads: true}
	for _, tt := range []struct {
		name  string
		wish  Wish
		state State
		want  string
	}{
		{"holds it", Wish{Auto: true}, State{Holds: []string{"other", "orders"}}, "restart"},
		{"holds it no more", Wish{Auto: true}, State{Holds: []string{"other"}}, "leave"},
		{"is a target", Wish{Targets: []Workload{env}}, State{}, "restart"},
		{"is being deleted", Wish{Auto: true}, State{Holds: []string{"orders"}, Ending: true}, "leave"},
		{"is being restarted", Wish{Auto: true}, State{Holds: []string{"orders"}, Stamp: Stamp{For: map[string]string{"orders": "R-3"}}}, "leave"},
		{"was restarted for an earlier issue", Wish{Auto: true}, State{Holds: []string{"orders"}, Stamp: Stamp{For: map[string]string{"orders": "R-2"}}}, "restart"},
		{"was restarted a moment ago", Wish{Auto: true}, State{Holds: []string{"orders"}, Stamp: Stamp{At: at(t, "11:29:30")}}, "wait until 11:30:30"},
		{"is paused", Wish{Auto: true}, State{Holds: []string{"orders"}, Obstacle: v1alpha1.ReasonWorkloadPaused}, "WorkloadPaused"},
		{"is paused while it is being restarted", Wish{Auto: true}, State{
			Holds: []string{"orders"}, Stamp: Stamp{For: map[string]string{"orders": "R-3"}}, Obstacle: v1alpha1.ReasonWorkloadPaused,
		}, "WorkloadPaused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step := due.Next(at(t, "11:30:00"), "orders", issue(t), tt.wish, tt.state)
			got := "leave"
			switch {
			case step.Obstacle != "":
				got = step.Obstacle
			case step.Restart:
				got = "restart"
			case !step.At.IsZero():
				got = "wait until " + step.At.UTC().Format(time.TimeOnly)
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	due.Reads = false
	step := due.Next(at(t, "11:30:00"), "orders", issue(t), Wish{Targets: []Workload{env}, Duration: time.Hour}, State{Stamp: Stamp{At: at(t, "11:20:00")}})
	if step.Restart || !step.At.Equal(at(t, "11:35:00")) {
		t.Errorf("a target that does not read it, restarted ten minutes ago, is in a hurry: %+v", step)
	}
	for clock, want := range map[string]bool{"11:33:59": false, "11:34:00": true} {
		if late, when := due.Late(at(t, clock)); late != want || !when.Equal(at(t, "11:34:00")) {
			t.Errorf("at %s late = %v, from %v on", clock, late, when)
		}
	}
}
