// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

/** Calls mPaaS with what the Secret has, so that the program assumes no role. Argument: host and port of mPaaS. */
public final class MpaasSecret {
  private MpaasSecret() {}

  public static void main(String[] arguments) throws Exception {
    System.out.println(Mcube.queryVhost(
        arguments[0], System.getenv("ACCESS_KEY_ID"), System.getenv("ACCESS_KEY_SECRET"), System.getenv("SECURITY_TOKEN")));
  }
}
