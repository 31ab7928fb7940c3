// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// clusterChecks are the checks of the API, the operator, its identity and the grants.
var clusterChecks = slices.Concat(
	[]clusterCheck{
		{name: "crd-missing", stage: StageCluster, needs: crdsRead, find: findMissingCRDs, healthy: "The CRDs are installed."},
		{name: "crd-version", stage: StageCluster, needs: crdsRead, find: findOutdatedCRDs,
			healthy: "The CRDs have all fields that the plugin knows."},
		{name: "clock-skew-local", stage: StageCluster, needs: timesRead, find: findLocalSkew,
			healthy: "The clock of this machine agrees with that of the API server."},
		{name: "clock-skew-node", stage: StageCluster, needs: nodeLeasesRead, find: findNodeSkew,
			healthy: "The clocks of the nodes agree with that of the API server."},
	},
	operatorChecks, operatorIdentityChecks, endpointChecks, clusterGrantChecks,
)

func crdsRead(s *Snapshot) bool { return len(s.CRDs) > 0 }

func timesRead(s *Snapshot) bool { return !s.LocalTime.IsZero() && !s.ServerTime.IsZero() }

func nodeLeasesRead(s *Snapshot) bool { return len(s.NodeLeases) > 0 && timesRead(s) }

// applyCRDs installs the CRDs.
const applyCRDs = "# In a checkout of the operator's version. With Helm, `helm upgrade` does the same.\n" +
	"kubectl apply --server-side --force-conflicts -k config/crd"

// findMissingCRDs finds kinds that are not installed. Where the operator is missing too, installing it repairs both.
func findMissingCRDs(s *Snapshot) []Finding {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(s.CRDs)) {
		if s.CRDs[name] == nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 || len(s.Operators) == 0 && operatorsRead(s) {
		return nil
	}
	return []Finding{{
		Object: "CustomResourceDefinition " + strings.Join(missing, ", "),
		Message: "The kinds of " + v1alpha1.GroupVersion.Group + " are not installed " +
			"completely: " + strings.Join(missing, ", ") + " is missing.", Fix: applyCRDs,
	}}
}

// findOutdatedCRDs finds CRDs that lack fields which the plugin knows. If the operator has another version than the plugin, the
// CRDs may be right for it: then this is no finding.
func findOutdatedCRDs(s *Snapshot) (findings []Finding) {
	for i := range s.Operators {
		if version := operatorVersion(&s.Operators[i]); version != "" && version != s.PluginVersion {
			return nil
		}
	}
	for name, kind := range map[string]reflect.Type{
		"stscredentials." + v1alpha1.GroupVersion.Group: reflect.TypeFor[v1alpha1.StsCredential](),
		"stsrolegrants." + v1alpha1.GroupVersion.Group:  reflect.TypeFor[v1alpha1.StsRoleGrant](),
	} {
		crd := s.CRDs[name]
		if crd == nil {
			continue
		}
		missing := missingFields(schemaOf(crd), kind, "")
		if len(missing) == 0 {
			continue
		}
		findings = append(findings, Finding{
			Object: "CustomResourceDefinition " + name,
			Message: fmt.Sprintf("The CRD is older than the operator: it lacks %s. The API server drops these fields.",
				strings.Join(missing[:min(len(missing), 5)], ", ")),
			Fix: applyCRDs,
		})
	}
	slices.SortFunc(findings, func(a, b Finding) int { return strings.Compare(a.Object, b.Object) })
	return findings
}

// schemaOf returns the schema of the version that the plugin knows; nil if it is not served.
func schemaOf(crd *unstructured.Unstructured) map[string]any {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if version["name"] == v1alpha1.GroupVersion.Version {
			schema, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
			return schema
		}
	}
	return nil
}

// missingFields returns the fields of spec and status in a type of the API that the schema lacks.
func missingFields(schema map[string]any, of reflect.Type, path string) (missing []string) {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.PkgPath() != reflect.TypeFor[v1alpha1.StsCredential]().PkgPath() {
		return nil // a type of Kubernetes, or a value
	}
	properties, _ := schema["properties"].(map[string]any)
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "metadata" {
			continue
		}
		in, found := properties[name].(map[string]any)
		if !found {
			missing = append(missing, strings.TrimPrefix(path+"."+name, "."))
			continue
		}
		missing = append(missing, missingFields(in, of.Field(i).Type, path+"."+name)...)
	}
	return missing
}

// maxSkew is the difference of clocks that is a finding: as in the alert StsCredentialClockSkew. STS refuses calls from 15 minutes on.
const maxSkew = time.Minute

// describeSkew says how a clock differs from that of the API server.
func describeSkew(skew time.Duration) string {
	if skew < 0 {
		return skew.Abs().Round(time.Second).String() + " behind"
	}
	return skew.Round(time.Second).String() + " ahead of"
}

// correctClock sets a clock by the network.
const correctClock = "sudo timedatectl set-ntp true"

// findLocalSkew compares this machine's clock, with which whoami and exec sign their calls to STS.
func findLocalSkew(s *Snapshot) []Finding {
	skew := s.LocalTime.Sub(s.ServerTime)
	if skew.Abs() <= maxSkew {
		return nil
	}
	return []Finding{{
		Object: "this machine", Message: fmt.Sprintf("The clock of this machine is %s that of the API server. STS refuses calls "+
			"that are 15 minutes off.", describeSkew(skew)),
		Fix: "# On this machine, or on the control plane, whichever is wrong:\n" + correctClock,
	}}
}

// findNodeSkew finds nodes whose kubelet renews its lease with a wrong time. A lease that is old shows a wrong clock only while
// the node is ready: otherwise the kubelet does not renew it.
func findNodeSkew(s *Snapshot) (findings []Finding) {
	for i := range s.NodeLeases {
		lease := &s.NodeLeases[i]
		if lease.Spec.RenewTime == nil {
			continue
		}
		skew := lease.Spec.RenewTime.Sub(s.ServerTime)
		if skew <= maxSkew && (skew >= -maxSkew || !s.nodeReady(lease)) {
			continue
		}
		findings = append(findings, Finding{
			Object: "Node " + lease.Name,
			Message: fmt.Sprintf("The clock of the node is %s that of the API server. STS refuses calls of an operator that are 15 "+
				"minutes off.", describeSkew(skew)),
			Fix: "# On the node:\n" + correctClock,
		})
	}
	return findings
}

// nodeReady reports whether the node of a lease is ready.
func (s *Snapshot) nodeReady(lease *coordinationv1.Lease) bool {
	for _, n := range s.Nodes {
		if n.Name != lease.Name {
			continue
		}
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" {
				return c.Status == "True"
			}
		}
	}
	return false
}
