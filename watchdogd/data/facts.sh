# Facts of the host, in one round trip. Reads only. Run, after processes.sh, as:
#   sh -s -- MARK CONTAINER PID
#
#   MARK       random text; all that counts stands between two lines of it
#   CONTAINER  full id of the container whose processes are wanted, or -
#   PID        processes whose descendants (themselves included) are wanted, between spaces, or -
#
# Prints key=value lines. Each value has its own try: one that fails leaves its line out, and says
# nothing about the others. POSIX sh, for dash and busybox alike.

LC_ALL=C
export LC_ALL
set -f
mark=$1 container=$2 pid=$3

if timeout -k 1 3 true 2>/dev/null; then
  bounded() { timeout -k 1 3 "$@"; }
else
  bounded() { "$@"; }
fi

boot_id() {
  read -r value </proc/sys/kernel/random/boot_id && echo "boot_id=$value"
}

uptime_seconds() {
  read -r value _ </proc/uptime && echo "uptime=$value"
}

load() {
  read -r value _ </proc/loadavg && echo "load=$value"
}

processors() {
  value=$(nproc) || value=$(grep -c '^processor' /proc/cpuinfo)
  [ -n "$value" ] && echo "processors=$value"
}

# The folder's file system: free kilobytes, and free and all inodes.
disk() {
  bounded df -Pk "$1" | {
    read -r _
    read -r _ _ _ free _ && echo "disk_free_kb=$free"
  }
  bounded df -Pi "$1" | {
    read -r _
    read -r _ all _ free _ && echo "inodes=$free $all"
  }
}

# Per cent of the last minute in which all work waited, one line a resource.
pressure() {
  for resource in cpu memory io; do
    while read -r who _ average _; do
      case $who:$average in full:avg60=*) echo "pressure=${average#avg60=}" ;; esac
    done <"/proc/pressure/$resource"
  done
}

# When the engine's daemon was started, in clock ticks since the boot, and the boot itself; a line each daemon.
engine() {
  set +f
  for file in /proc/[0-9]*/comm; do
    read -r name <"$file" && [ "$name" = dockerd ] || continue
    number=${file#/proc/}
    set -f
    read_stat "${number%/comm}" && echo "engine=$started"
    set +f
  done
  set -f
  while read -r word value; do
    [ "$word" = btime ] && echo "btime=$value"
  done </proc/stat
}

# Bytes that the container's own group of processes read and wrote, whatever cgroup version it is.
io() {
  number=$(of_container | head -n 1)
  [ -n "$number" ] || return 0
  while IFS=: read -r level kinds group; do
    case $level:$kinds in
      0:) file=/sys/fs/cgroup$group/io.stat ;;
      *:blkio | *:blkio,* | *,blkio | *,blkio,*)
        file=/sys/fs/cgroup/blkio$group/blkio.throttle.io_service_bytes ;;
      *) continue ;;
    esac
    [ -r "$file" ] || continue
    total=0
    while read -r line; do
      for word in $line; do
        case $word in rbytes=* | wbytes=*) total=$((total + ${word#*=})) ;; esac
      done
      case $line in "Total "*) total=${line#Total } ;; esac
    done <"$file"
    echo "io_bytes=$total"
    return 0
  done <"/proc/$number/cgroup"
}

ticks() {
  value=$(getconf CLK_TCK) && echo "ticks=$value"
}

# One process: pid, start, CPU used (both in clock ticks), its arguments separated by tabs.
process() {
  read_stat "$1" || return 0
  arguments=$(head -c 2000 "/proc/$1/cmdline" | tr '\000-\037\177' '\t[?*]')
  printf 'process=%s %s %s %s\n' "$1" "$started" "$used" "$arguments"
}

# The list counts as read only if it is not empty and ends with its number: a reader who may not see
# the processes must not conclude that there are none.
processes() {
  count=0
  for number in $("$1"); do
    [ "$count" -lt 2000 ] || return 0
    process "$number"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] && echo "processes=$count"
}

printf '\n%s\n' "$mark"
{
  boot_id
  uptime_seconds
  load
  processors
  pressure
  engine
  disk /
  [ -d /var/lib/docker ] && disk /var/lib/docker
  ticks
  if [ "$container" != - ]; then
    processes of_container
    io
  elif [ "$pid" != - ]; then
    processes of_pid
  fi
} 2>/dev/null
printf '\n%s\n' "$mark"
