// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/grant"
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

var endpointChecks = []clusterCheck{
	{name: "sts-region", stage: StageSTS, needs: hasRegions, find: findOtherRegion,
		healthy: "The operator calls STS in the region of the nodes."},
}

func hasRegions(s *Snapshot) bool { return hasOperator(s) && len(s.regions()) > 0 }

// regions are the regions of the nodes that run on Alibaba Cloud: their provider ID is <region>.<instance>.
func (s *Snapshot) regions() (regions []string) {
	for i := range s.Nodes {
		if region := s.Nodes[i].Labels[corev1.LabelTopologyRegion]; region != "" && strings.Contains(s.Nodes[i].Spec.ProviderID, ".i-") {
			regions = append(regions, region)
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// endpointHost is a host of STS with its region.
var endpointHost = regexp.MustCompile(`^https://sts(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com(?:[:/]|$)`)

// regionOf returns the region of the operator's STS endpoint, and the flag or variable that sets it; empty if it is not known.
func regionOf(s *Snapshot, d *appsv1.Deployment) (region, setBy string) {
	if endpoint, set := managerFlag(d, "sts-endpoint"); set && endpoint != "" {
		if m := endpointHost.FindStringSubmatch(endpoint); m != nil {
			return m[1], "sts-endpoint"
		}
		return "", ""
	}
	if region, set := managerFlag(d, "region"); set {
		return region, "region"
	}
	e := environmentOf(s, d)
	return cmp.Or(e.values["ALIBABA_CLOUD_STS_REGION"], "cn-hangzhou"), "ALIBABA_CLOUD_STS_REGION"
}

// findOtherRegion finds operators that call STS in a region in which the cluster has no node.
func findOtherRegion(s *Snapshot) (findings []Finding) {
	regions := s.regions()
	for i := range s.Operators {
		d := &s.Operators[i]
		region, setBy := regionOf(s, d)
		if region == "" || slices.Contains(regions, region) {
			continue
		}
		effect := "calls leave the region, and stop if the nodes have no internet access."
		if vpc, _ := managerFlag(d, "vpc-endpoint"); vpc == "true" {
			effect = "a VPC endpoint can be reached only from its own region."
		}
		f := Finding{Object: nameOf(d), Message: fmt.Sprintf("The operator calls STS in region %s, and the nodes are in %s: "+
			"%s", region, strings.Join(regions, ", "), effect)}
		switch setBy {
		case "sts-endpoint":
			value, _ := managerFlag(d, setBy)
			f.Fix = setFlag(d, setBy, strings.ReplaceAll(value, region, regions[0]))
		case "region":
			f.Fix = setFlag(d, setBy, regions[0])
		default:
			f.Fix = onDeployment(d, "set env", "-c "+ManagerContainer+" "+setBy+"="+regions[0])
		}
		f.Fix = "# With Helm: region.\n" + f.Fix
		findings = append(findings, f)
	}
	return findings
}

var clusterGrantChecks = []clusterCheck{
	{name: "grant-unused", stage: StageGrant, needs: canMatchGrants, find: findGrantsWithoutNamespace,
		healthy: "Every grant matches a namespace."},
}

// canMatchGrants reports whether all namespaces are known.
func canMatchGrants(s *Snapshot) bool {
	return s.AllNamespaces && len(s.Namespaces) > 0 &&
		!slices.ContainsFunc(s.Unread, func(u Unread) bool { return u.Resource == "namespaces" })
}

// findGrantsWithoutNamespace finds grants that match no namespace. That no StsCredential uses a grant is not a finding: an
// administrator may grant a role before a team asks for it.
func findGrantsWithoutNamespace(s *Snapshot) (findings []Finding) {
	for i := range s.Grants {
		g := &s.Grants[i]
		if slices.ContainsFunc(slices.Collect(maps.Keys(s.Namespaces)), func(name string) bool {
			return grant.CoversNamespace(g, name, s.Namespaces[name].Labels)
		}) {
			continue
		}
		f := Finding{
			Object: "StsRoleGrant " + g.Name, Message: "The grant matches no namespace: " + selection(g) + ".",
			Fix: fmt.Sprintf("# Correct spec.namespaces, create the namespace, or delete the grant if nobody needs it:\nkubectl "+
				"delete stsrolegrant %s", g.Name),
		}
		if corrected, changed := s.corrected(g); changed {
			patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"namespaces": map[string]any{"names": corrected}}}) // strings only
			f.Message = fmt.Sprintf("The grant matches no namespace: %s. Similar namespaces: %s.", selection(g), strings.Join(corrected, ", "))
			f.Fix = fmt.Sprintf("kubectl patch stsrolegrant %s --type=merge -p '%s'", g.Name, patch)
		}
		findings = append(findings, f)
	}
	return findings
}

// selection describes the namespaces of a grant.
func selection(g *v1alpha1.StsRoleGrant) string {
	var parts []string
	for _, name := range g.Spec.Namespaces.Names[:min(len(g.Spec.Namespaces.Names), 5)] {
		parts = append(parts, fmt.Sprintf("there is no namespace %q", name))
	}
	if g.Spec.Namespaces.Selector != nil {
		parts = append(parts, "none has the labels of its selector")
	}
	return strings.Join(parts, ", ")
}

// corrected replaces the names of a grant by those of namespaces that differ in one character.
func (s *Snapshot) corrected(g *v1alpha1.StsRoleGrant) (names []string, changed bool) {
	for _, wrong := range g.Spec.Namespaces.Names {
		for _, name := range slices.Sorted(maps.Keys(s.Namespaces)) {
			if oneEditApart(string(wrong), name) && !slices.Contains(names, name) {
				names, changed = append(names, name), true
			}
		}
	}
	return names, changed && len(g.Spec.Namespaces.Names) == 1
}

// oneEditApart reports whether one inserted, removed or replaced character, or a swap of two neighbours, makes a of b.
func oneEditApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if a == b || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
