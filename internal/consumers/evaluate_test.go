// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
)

var env, volume = Workload{"Deployment", "env"}, Workload{"Deployment", "volume"}

// namespace is a namespace at 11:30, see issuance: pods from 10:30 and from 11:25 of each workload, and some without a workload.
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

func TestEvaluate(t *testing.T) {
	third := issuance(t)
	first := Issuance{Credential: "orders", ID: "R-1", WrittenAt: at(t, "11:20:00"), Created: true}
	for _, tt := range []struct {
		name     string
		issuance Issuance
		policy   RestartPolicy
		left     string
		due      string
	}{
		{"no restarts", third, RestartPolicy{}, "[env-1 env-2 job]", ""},
		{"what cannot refresh", third, RestartPolicy{Auto: true}, "[job]", "Deployment env [env-1 env-2]"},
		{"a target that can", third, RestartPolicy{Targets: []Workload{volume}}, "[env-1 env-2 job]", "Deployment volume [volume-old]"},
		{"a target and what cannot", third, RestartPolicy{Auto: true, Targets: []Workload{volume}}, "[job]", "Deployment env [env-1 env-2] Deployment volume [volume-old]"},
		{"a target that does not read it", third, RestartPolicy{Targets: []Workload{{"Deployment", "other"}}}, "[env-1 env-2 job]", "Deployment other [other]"},
		{"a target that there is not", third, RestartPolicy{Targets: []Workload{{"DaemonSet", "env"}}}, "[env-1 env-2 job]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, due := Evaluate(at(t, "11:30:00"), "orders", tt.issuance, tt.policy, namespace(t)), ""
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
	waited := namespace(t)
	for i := range waited {
		for name, read := range waited[i].Reads {
			read.Ran = at(t, "11:20:01")
			waited[i].Reads[name] = read
		}
	}
	if got := Evaluate(at(t, "11:30:00"), "orders", first, RestartPolicy{Auto: true, Targets: []Workload{volume}}, waited); got.Pods != 7 || len(got.Stale)+len(got.Left)+len(got.Due) != 0 {
		t.Errorf("the first issuance makes stale what waited for it: %+v", got)
	}
}

// Pods in which the agent serves the Secret are counted and never restarted for it, not even as a target, unless a container
// also holds it for good.
func TestEvaluatePodsWithTheAgent(t *testing.T) {
	pods := namespace(t)
	for i := range pods {
		for name, read := range pods[i].Reads {
			read.How |= Agent
			pods[i].Reads[name] = read
		}
	}
	policy := RestartPolicy{Auto: true, Targets: []Workload{volume}}
	got := Evaluate(at(t, "11:30:00"), "orders", issuance(t), policy, pods)
	if got.Pods != 7 || fmt.Sprint(names(got.Stale)) != "[env-1 env-ending env-2 job]" || len(got.Due) != 1 || got.Due[0].Workload != env {
		t.Errorf("%d pods, stale %v, due %+v: want only those due that hold it in variables", got.Pods, names(got.Stale), got.Due)
	}
	for i := range pods {
		for name := range pods[i].Reads {
			pods[i].Reads[name] = Read{How: Agent | Volume}
		}
	}
	policy.Targets = append(policy.Targets, env)
	if got := Evaluate(at(t, "11:30:00"), "orders", issuance(t), policy, pods); got.Pods != 7 || len(got.Stale)+len(got.Left)+len(got.Due) != 0 {
		t.Errorf("%d pods, stale %v, due %+v: want none", got.Pods, names(got.Stale), got.Due)
	}
}

// A Job's pod is stale when a quarter of the lifetime of its credentials is left.
func TestEvaluateJobs(t *testing.T) {
	pods := namespace(t)
	for i := range pods {
		pods[i].Ends = pods[i].Name == "job"
	}
	early := Evaluate(at(t, "11:24:59"), "orders", issuance(t), RestartPolicy{Auto: true}, pods)
	if fmt.Sprint(names(early.Left)) != "[]" || len(early.Stale) != 3 || !early.Next.Equal(at(t, "11:25:00")) {
		t.Errorf("early: %+v", early)
	}
	late := Evaluate(at(t, "11:25:00"), "orders", issuance(t), RestartPolicy{Auto: true}, pods)
	if fmt.Sprint(names(late.Left)) != "[job]" || len(late.Stale) != 4 || !late.Next.IsZero() {
		t.Errorf("late: %+v", late)
	}
}

// The pods that the partition of a StatefulSet keeps are reported at once, and the others are restarted.
func TestNextWithAPartition(t *testing.T) {
	held := credentials.Replaced{WrittenAt: at(t, "10:40:00"), ExpiresAt: at(t, "11:40:00")}
	for _, tt := range []struct {
		name    string
		pods    []string
		state   State
		restart bool
		message string
	}{
		{"all", []string{"env-0", "env-1", "env-2"}, State{Partition: 2}, true, "env-0, env-1: partition is 2"},
		{"only what it keeps", []string{"env-0", "env-1"}, State{Partition: 2}, false, "env-0, env-1: partition is 2"},
		{"only what it replaces", []string{"env-2", "env-10"}, State{Partition: 2}, true, ""},
		{"restarted already", []string{"env-0", "env-2"}, State{Partition: 2, Restarted: RestartAnnotation{For: map[string]string{"orders": "R-3"}}}, false, "env-0: partition is 2"},
		{"some of a CloneSet", []string{"env-a"}, State{Message: "partition is 20%"}, true, "partition is 20%"},
	} {
		due := Due{Workload: Workload{"StatefulSet", "env"}, Reads: true}
		for _, name := range tt.pods {
			due.Pods = append(due.Pods, StalePod{name, held})
		}
		tt.state.Holds = []string{"orders"}
		step := due.Next(at(t, "11:30:00"), "orders", issuance(t), RestartPolicy{Auto: true}, tt.state)
		reason := ""
		if tt.message != "" {
			reason = v1alpha1.ReasonStrategyUnsuited
		}
		if step.Restart != tt.restart || step.BlockedReason != reason || !strings.Contains(step.Message, tt.message) {
			t.Errorf("%s: %+v", tt.name, step)
		}
	}
}

// A Rollout is restarted once for an issuance, by its own restartAt, whatever that was set to before.
func TestNextOfRollouts(t *testing.T) {
	due := Due{Workload: Workload{"Rollout", "env"}, Pods: []StalePod{{"env-1", credentials.Replaced{WrittenAt: at(t, "10:40:00"), ExpiresAt: at(t, "11:40:00")}}}, Reads: true}
	for _, tt := range []struct {
		name                   string
		restartAt, restartedAt string
		restarted              string
		want                   bool
	}{
		{"never restarted", "", "", "", true},
		{"restarted for an earlier issuance", "10:40:10", "10:40:10", "10:40:20", true},
		{"being restarted", "11:20:10", "10:40:10", "11:20:20", false},
		{"being restarted for the first time", "11:20:10", "", "11:20:20", false},
		{"another client restarts it", "11:25:00", "", "", false},
		{"scheduled for much later by another client", "19:00:00", "", "", true},
		{"ended without replacing all", "11:20:10", "11:20:10", "11:20:20", true},
		{"ended a moment ago", "11:20:10", "11:20:10", "11:29:50", false},
		{"the annotation alone is there", "", "", "11:20:20", true},
		{"with an annotation from the future", "", "", "23:00:00", true},
	} {
		state := State{Elsewhere: true, RestartAt: at(t, tt.restartAt), RestartedAt: at(t, tt.restartedAt), Restarted: RestartAnnotation{For: map[string]string{"orders": "R-3"}, At: at(t, tt.restarted)}}
		if step := due.Next(at(t, "11:30:00"), "orders", issuance(t), RestartPolicy{Auto: true}, state); step.Restart != tt.want || step.BlockedReason != "" {
			t.Errorf("%s: %+v", tt.name, step)
		}
	}
}

func TestNext(t *testing.T) {
	due := Due{Workload: env, Pods: []StalePod{{"env-1", credentials.Replaced{WrittenAt: at(t, "10:40:00"), ExpiresAt: at(t, "11:40:00")}}}, Reads: true}
	for _, tt := range []struct {
		name   string
		policy RestartPolicy
		state  State
		want   string
	}{
		{"holds it", RestartPolicy{Auto: true}, State{Holds: []string{"other", "orders"}}, "restart"},
		{"holds it no more", RestartPolicy{Auto: true}, State{Holds: []string{"other"}}, "leave"},
		{"is a target", RestartPolicy{Targets: []Workload{env}}, State{}, "restart"},
		{"is being deleted", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, Terminating: true}, "leave"},
		{"is being restarted", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, Restarted: RestartAnnotation{For: map[string]string{"orders": "R-3"}}}, "leave"},
		{"was restarted for an earlier issuance", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, Restarted: RestartAnnotation{For: map[string]string{"orders": "R-2"}}}, "restart"},
		{"was restarted a moment ago", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, Restarted: RestartAnnotation{At: at(t, "11:29:30")}}, "wait until 11:30:30"},
		{"was restarted in the future, by its annotation", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, Restarted: RestartAnnotation{At: at(t, "23:00:00")}}, "restart"},
		{"is paused", RestartPolicy{Auto: true}, State{Holds: []string{"orders"}, BlockedReason: v1alpha1.ReasonWorkloadPaused}, "WorkloadPaused"},
		{"is paused while it is being restarted", RestartPolicy{Auto: true}, State{
			Holds: []string{"orders"}, Restarted: RestartAnnotation{For: map[string]string{"orders": "R-3"}}, BlockedReason: v1alpha1.ReasonWorkloadPaused,
		}, "WorkloadPaused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			step := due.Next(at(t, "11:30:00"), "orders", issuance(t), tt.policy, tt.state)
			got := "leave"
			switch {
			case step.BlockedReason != "":
				got = step.BlockedReason
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
	step := due.Next(at(t, "11:30:00"), "orders", issuance(t), RestartPolicy{Targets: []Workload{env}, Duration: time.Hour}, State{Restarted: RestartAnnotation{At: at(t, "11:20:00")}})
	if step.Restart || !step.At.Equal(at(t, "11:35:00")) {
		t.Errorf("a target that does not read it, restarted ten minutes ago: %+v", step)
	}
	if late := due.LateAt(issuance(t)); !late.Equal(at(t, "11:34:00")) {
		t.Errorf("late at %v", late)
	}
}
