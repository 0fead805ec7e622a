#!/bin/sh
# Writes deploy/redis-users.local.acl: the users of redis-users.acl with passwords made by chance, which are printed once as
# the setting that Songmill needs. The operator's own user is `default`.
set -eu
cd "$(dirname "$0")"
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
admin=$(random)
songmill=$(random)
umask 077
sed -e "s/ADMIN_PASSWORD/$admin/" -e "s/SONGMILL_PASSWORD/$songmill/" redis-users.acl >redis-users.local.acl
# The server in the image runs as a user of its own, who must be able to read it.
chmod 644 redis-users.local.acl
echo "SONGMILL_REDIS__URL=redis://songmill:$songmill@redis:6379/0"
echo "an operator's: redis-cli --user default --pass $admin" >&2
