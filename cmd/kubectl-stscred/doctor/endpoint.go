// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

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
