// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	applyv1alpha1 "github.com/stscredential/sts-credential-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// apply creates or updates an StsCredential. Server-side apply changes only the fields that are set here.
func apply(ctx context.Context, c client.Client) error {
	return c.Apply(ctx, credential(), client.FieldOwner("shop-controller"), client.ForceOwnership)
}

func credential() *applyv1alpha1.StsCredentialApplyConfiguration {
	return applyv1alpha1.StsCredential("orders", "shop").
		WithSpec(applyv1alpha1.StsCredentialSpec().
			WithRoleARN("acs:ram::1234567890123456:role/orders-reader").
			WithDuration(metav1.Duration{Duration: time.Hour}).
			WithSecret(applyv1alpha1.SecretSpec().WithFormats(v1alpha1.FormatSDK, v1alpha1.FormatOSS)))
}

// An apply configuration contains the fields that are set, and no zero values.
func ExampleStsCredential() {
	_ = apply // with a client of sigs.k8s.io/controller-runtime
	manifest, err := json.MarshalIndent(credential(), "", "  ")
	if err != nil {
		panic(err)
	}
	fmt.Println(string(manifest))
	// Output:
	// {
	//   "kind": "StsCredential",
	//   "apiVersion": "sts.alibabacloud.com/v1alpha1",
	//   "metadata": {
	//     "name": "orders",
	//     "namespace": "shop"
	//   },
	//   "spec": {
	//     "roleARN": "acs:ram::1234567890123456:role/orders-reader",
	//     "duration": "1h0m0s",
	//     "secret": {
	//       "formats": [
	//         "SDK",
	//         "OSS"
	//       ]
	//     }
	//   }
	// }
}
