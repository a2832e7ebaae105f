# Sourced by the scripts beside it. Defines `packages`: makes sure that Debian packages are installed.

# packages NAME...: installs those that are missing, one after the other, because two installations at
# once lose each other's archives. Without root it tries sudo without a password; where that fails too it
# names what a person must install, and returns an error.
packages() {
    local name missing=() as_root=()
    for name in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if ! sudo -n true 2>/dev/null; then
            echo "missing Debian packages, and no way to become root: ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5 update >&2 || return
    for name in "${missing[@]}"; do
        echo "installing $name" >&2
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5 \
            install --yes --no-install-recommends "$name" </dev/null >/dev/null || return
    done
}
