# The first process of the node's namespaces. The node sees the machine's files, but has a /var and a /run of its own.
# What it mounts is private to it, and the kernel undoes all of it, with every process of the node, when this one ends.
set -eu
dir=$1
trap exit TERM # to which a first process is deaf otherwise
mount --make-rprivate /
mount --bind "$dir/run" /run
mount --bind "$dir/var" /var
mount -t proc proc /proc
# The kubelet sets these for the whole machine. It gets copies.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  mkdir -p "$dir/sysctl/${name%/*}"
  cat "/proc/sys/$name" >"$dir/sysctl/$name"
  mount --bind "$dir/sysctl/$name" "/proc/sys/$name"
done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
: >"$dir/ready"
while :; do
  sleep 3600 &
  wait # for that one, and for every orphan of the node
done
