# Removes a lab: sh teardown.sh. Written by the lab into its own directory, so that it
# can be removed by whoever finds it. May be run twice, and at any stage of the set-up.
lab=@LAB@
dir=@DIR@
daemon=@DAEMON@

spaces=$(ip netns list | awk -v lab="$lab-" 'index($1, lab) == 1 { print $1 }')
for space in $spaces; do
    pids=$(ip netns pids "$space")
    [ -z "$pids" ] || kill -KILL $pids
done
if [ -e "/sys/fs/bpf/lb-daemon/$lab" ]; then
    # The daemon may take a moment to die.
    tries=30
    until nsenter --net="/run/netns/$lab-balancer" -- "$daemon" --instance "$lab" unload ||
        [ "$tries" -eq 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done > /dev/null 2>&1
fi
for space in $spaces; do
    ip netns delete "$space"
done
rm -rf "/sys/fs/bpf/lb-daemon/$lab" "/var/lib/lb-daemon/$lab"
rm -f "/run/lb-daemon/$lab.sock" "/run/lb-daemon/$lab.lock"
rm -rf "$dir"
