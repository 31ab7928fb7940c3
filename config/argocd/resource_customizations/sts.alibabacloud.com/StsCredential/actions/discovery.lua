local actions = {}
actions["renew"] = {
  ["disabled"] = obj.spec.suspend == true or obj.metadata.deletionTimestamp ~= nil,
}
return actions
