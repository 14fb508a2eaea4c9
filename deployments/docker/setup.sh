#!/bin/sh
# Makes the identities of the controller and of the first worker, once, and writes the configuration that
# all containers of compose.yaml share: whom the workers obey, and the address to begin with.
#
#   setup.sh STATE CONFIG [OWNER [HOST]]
#
# STATE has a directory for each node; CONFIG gets config.yaml; OWNER (uid:gid) is whom the nodes run as; HOST is
# the name of the first worker in the network.
set -eu
state=$1 config=$2 owner=${3:-} host=${4:-worker-1}

# config.yaml is written last: where it is, all has been done, and the nodes may be running.
if [ -e "$config/config.yaml" ]; then
	exit 0
fi
chown -R "$(id -u):$(id -g)" "$state" # swarm takes no identity of another user
controller=$(swarm id --state "$state/controller")
first=$(swarm id --worker --state "$state/worker-1")
if [ -n "$owner" ]; then
	chown -R "$owner" "$state"
fi
cat > "$config/config.yaml.new" <<YAML
allow: [$controller]
bootstrap: [/dns4/$host/tcp/4747/p2p/$first]
enable: [miner=refpow, deploy]
YAML
chmod 644 "$config/config.yaml.new"
mv "$config/config.yaml.new" "$config/config.yaml"
