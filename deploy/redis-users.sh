#!/bin/sh
# Makes passwords by chance for the users of redis-users.acl. Writes these users with the passwords' hashes to
# redis-users.local.acl, and the address with Songmill's own password to songmill.env, in place of the one that stood there.
# The operator's own user is `default`; its password is shown once and kept nowhere.
set -eu
cd "$(dirname "$0")"
# What a password stands in is for its owner alone.
umask 077
fail() { echo "$0: $1" >&2; exit 1; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
sha256() {
    if command -v sha256sum >/dev/null; then printf %s "$1" | sha256sum; else printf %s "$1" | shasum -a 256; fi | cut -d ' ' -f 1
}
admin=$(random)
songmill=$(random)
[ ${#admin} = 48 ] && [ ${#songmill} = 48 ] || fail "no passwords can be made: /dev/urandom cannot be read"
admin_hash=$(sha256 "$admin")
songmill_hash=$(sha256 "$songmill")
[ ${#admin_hash} = 64 ] && [ ${#songmill_hash} = 64 ] || fail "no hashes can be made: install sha256sum or shasum"
sed -e "s/>ADMIN_PASSWORD/#$admin_hash/" -e "s/>SONGMILL_PASSWORD/#$songmill_hash/" redis-users.acl >redis-users.local.acl
# The server in the image runs as a user of its own, who must be able to read it; hashes of such passwords tell nothing.
chmod 644 redis-users.local.acl
touch songmill.env
rm -f songmill.new.env
{
    grep -v '^SONGMILL_REDIS__URL=' songmill.env || true
    echo "SONGMILL_REDIS__URL=redis://songmill:$songmill@redis:6379/0"
} >songmill.new.env
mv songmill.new.env songmill.env
# Those that were copied from the examples have the mode of these.
for file in songmill.*.env; do
    [ ! -f "$file" ] || chmod go= "$file"
done
echo "redis-users.local.acl has the users, songmill.env the address with Songmill's password" >&2
echo "an operator's, shown this once: redis-cli --user default --pass $admin" >&2
