#!/bin/sh
# Installs the Debian packages that the tests use and that are missing here; prints what it does.
#
#   tests/system_deps.sh             the packages of the tests
#   tests/system_deps.sh PACKAGE...  these packages
#
# It installs only as root, where apt-get exists, and unless SYSTEM_DEPS=no. A package that stays missing is no error
# here: its tests skip with the reason (with CI=true they fail).
set -eu

missing=""

# need PACKAGE PROBE...: the package is missing when the probe fails.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

if [ $# -gt 0 ]; then
    missing=" $*"
else
    need gcc command -v cc
    need libmodbus-dev test -e /usr/include/modbus/modbus.h # the Modbus slave that is not ours
    need nodejs command -v node                             # the OPC UA client that is not ours
    need npm command -v npm
    need influxdb command -v influxd                        # the database that the journal is forwarded to
    need victoria-metrics command -v victoria-metrics       # the same for dashboards
    need tshark command -v tshark                           # takes OPC UA apart: a decoder that is not ours
fi

if [ -z "$missing" ]; then
    echo "Debian packages: nothing to install"
    exit 0
fi
if [ "${SYSTEM_DEPS:-}" = no ]; then
    echo "Debian packages: not installed, SYSTEM_DEPS=no. Missing:$missing"
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Debian packages: missing:$missing. To have their tests run: apt-get install$missing (as root)"
    exit 0
fi

echo "Debian packages: installing$missing (make SYSTEM_DEPS=no leaves them)"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
if ! apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1; then
    # The package lists of a fresh image are empty.
    if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >/dev/null; then
        echo "Debian packages: apt-get could not install$missing" >&2
    fi
fi
