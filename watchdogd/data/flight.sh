# One look at a time at what can hang in the kernel, where no signal reaches it: a GPU's driver, a network
# file system. It runs beside the script, is waited for by the clock and then left behind, and while one that was
# left behind is still there, no other one is started. Functions only, for the scripts that come after this one
# in the same shell; these set `set -f`. POSIX sh, for dash and busybox alike.

# flight NAME: sets $left, the file that tells who looks. Homes can be shared by several servers.
flight() {
  umask 077
  left=${HOME:-/nonexistent}/.watchdogd/$1.$(uname -n).pid
  mkdir -p "${left%/*}"
}

# began PID: sets $began, its start in clock ticks since the boot; fails if it has ended, or if that cannot be told
began() {
  began='' stat=''
  IFS= read -r stat <"/proc/$1/stat" || return 1
  # the name stands in brackets and may hold anything, brackets and spaces too
  set -- ${stat##*) }
  case $1 in Z | X) return 1 ;; esac
  began=${20}
}

# alive PID BEGAN: is it still there, and no later process of the same number?
alive() {
  began "$1" && [ "$began" = "$2" ]
}

# busy: has the one that looked last not come back? Who began less than 10 s ago may be in time yet, as another
# agent's look is, and is waited for: 2 s.
busy() {
  for pause in 0.5 0.5 0.5 0.5 ''; do
    { read -r flying since <"$left" && alive "$flying" "$since"; } || return 1
    IFS=. read -r up _ </proc/uptime
    # 100 ticks a second are what Linux tells programs, whatever its own clock does
    [ -n "$pause" ] && [ "$((up - began / 100))" -lt 10 ] || return 0
    sleep "$pause" || sleep 1
  done
}

# aside FILE PROGRAM...: sets $job; 124 = not within 8 s, and left behind; else it ended, with that status and with
# its output in FILE. No function of this shell: it would hold the files that redirections put aside, and the server
# would wait for it.
aside() {
  file=$1
  shift
  "$@" </dev/null >"$file" 2>&1 &
  job=$!
  began "$job" && echo "$job $began" >"$left"
  since=$began
  for pause in 0.05 0.1 0.1 0.25 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 ''; do
    if ! alive "$job" "$since"; then
      rm -f "$left"
      wait "$job"
      return
    fi
    [ -z "$pause" ] || sleep "$pause" || sleep 1
  done
  return 124
}
