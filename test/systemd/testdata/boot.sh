#!/bin/sh
# boot.sh ROOT WORK CGROUP: boots the systemd of the root file system ROOT as process 1 of namespaces of its own.
# What is written goes to WORK/upper. Run by: unshare --pid --mount --uts --ipc --net --cgroup --fork
set -e
root=$1 work=$2
mount --make-rprivate /
mkdir -p "$work/upper" "$work/ovl" "$work/new"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/ovl" "$work/new"
cd "$work/new"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for n in null zero full random urandom tty; do touch dev/$n; mount --bind /dev/$n dev/$n; done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir run/old
pivot_root . run/old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=swarm-test /bin/sh -c 'umount -l /run/old && exec /lib/systemd/systemd' </dev/null
