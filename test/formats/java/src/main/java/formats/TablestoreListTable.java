// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.core.ResourceManager;
import com.alicloud.openservices.tablestore.core.auth.CredentialsProvider;
import com.alicloud.openservices.tablestore.core.auth.CredentialsProviderFactory;

/** Lists the tables of an instance with the variables TABLESTORE_*. Argument: URL of the instance. */
public final class TablestoreListTable {
  private TablestoreListTable() {}

  public static void main(String[] arguments) {
    CredentialsProvider provider = CredentialsProviderFactory.newEnvironmentVariableCredentialsProvider();
    SyncClient client = new SyncClient(arguments[0], provider, "orders", null, new ResourceManager(null, null));
    try {
      System.out.println(client.listTable().getTableNames());
    } finally {
      client.shutdown();
    }
  }
}
