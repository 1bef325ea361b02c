# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_guardian_global_optspecs
    string join \n h/help V/version
end

function __fish_guardian_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_guardian_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_guardian_using_subcommand
    set -l cmd (__fish_guardian_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c guardian -n "__fish_guardian_needs_command" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_needs_command" -s V -l version -d 'Print version'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "run" -d 'Read the cluster once, restart what is due, remember, report'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "status" -d 'Show what Connect says, what is remembered and what comes next; sends nothing'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "retry" -d 'Restart now what has failed, whatever waits, holds and limits say, and watch what becomes of it'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "reset" -d 'Forget failures, so that the next run starts afresh with them'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "hold" -d 'Leave connectors alone for a time, whatever becomes of them'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "release" -d 'End holds before their time'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "history" -d 'Show what happened: failures, restarts, recoveries, and what persons did'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "schedule" -d 'Show the timetable that the present settings give; reads and sends nothing'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "notify" -d 'Send a marked test message to each sink, and say what it answered'
complete -c guardian -n "__fish_guardian_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand run" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l max-restart -d 'Restarts of one connector or task before giving up [env: MAX_RESTART] [default: 7]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l exponential-ratio -d 'The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait [env: EXPONENTIAL_RATIO] [default: 1]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l backoff-step -d 'What the back-off counts: runs, or the clock in steps of this length [env: GUARDIAN_BACKOFF_STEP] [default: run]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l backoff-cap -d 'Longest single wait: runs, or a duration when the step is one [env: GUARDIAN_BACKOFF_CAP] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l settle -d 'No second restart of an instance within this time, whatever the back-off says [env: GUARDIAN_SETTLE] [default: 60s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l stuck-after -d 'Restart also what has been UNASSIGNED or RESTARTING for so many runs [env: GUARDIAN_STUCK_AFTER] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l watch -d 'How long what was restarted must run before more of the same cause follow; 0s sends everything at once [env: GUARDIAN_WATCH] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l group-from -d 'From so many connectors on, failures of one cause go in waves [env: GUARDIAN_GROUP_FROM] [default: 3]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l group-rest -d 'The longest rest of such a group after a wave that failed again, in runs or steps [env: GUARDIAN_GROUP_REST] [default: 2]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l keep-trying -d 'When nobody of a cause has a restart left, one gets another this often: in runs or steps, or a duration when the step is one [env: GUARDIAN_KEEP_TRYING] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l include -d 'Connectors to restart, by name with * and ?; repeatable, commas in the environment [env: GUARDIAN_INCLUDE] [default: all]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l exclude -d 'Connectors never to restart; wins over --include [env: GUARDIAN_EXCLUDE] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l no-tasks-ok -d 'Connectors that may be RUNNING without a task, as some of MirrorMaker\'s are [env: GUARDIAN_NO_TASKS_OK] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l max-restarts-per-run -d 'Connectors and tasks to restart in one run; 0 sends nothing [env: GUARDIAN_MAX_RESTARTS_PER_RUN] [default: unlimited]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l max-restarts-per-day -d 'Restarts of one connector or task within 24 hours, 32 at most; what recovers and fails again is counted on [env: GUARDIAN_MAX_RESTARTS_PER_DAY] [default: unlimited]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l parallel -d 'Connectors restarted at the same time [env: GUARDIAN_PARALLEL] [default: 4]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l every -d 'Run again and again at this interval, until SIGTERM [env: GUARDIAN_EVERY]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l deadline -d 'Time for one whole run [env: GUARDIAN_DEADLINE] [default: 3m30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l fail-on -d 'Exit with 3 when an instance was given up; is failed at all; or is failed, in transition or without tasks for three runs [env: GUARDIAN_FAIL_ON] [default: never]' -r -f -a "never\t''
gave-up\t''
failed\t''
unhealthy\t''"
complete -c guardian -n "__fish_guardian_using_subcommand run" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand run" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand run" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand run" -l metrics-file -d 'File of metrics for the textfile collector of node_exporter; its name ends in .prom [env: GUARDIAN_METRICS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand run" -l metrics-connectors -d 'So many failing connectors have metrics of their own [env: GUARDIAN_METRICS_CONNECTORS] [default: 100]' -r
complete -c guardian -n "__fish_guardian_using_subcommand run" -l no-backoff -d 'Restart at every run, without limit (the flag, or 0 in the environment) [env: ENABLE_BACKOFF]'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l once -d 'One run (as without --every); overrules --every and GUARDIAN_EVERY'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l wait -d 'Stay until all that was restarted has run for --watch or failed again'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l dry-run -d 'Show what a run would do; send nothing, write nothing [env: GUARDIAN_DRY_RUN]'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l full -d 'Show every instance in the table, also the many that fail for one cause [env: GUARDIAN_FULL]'
complete -c guardian -n "__fish_guardian_using_subcommand run" -l quiet -d 'Print nothing unless something changed or went wrong; then one line on stderr (not with --dry-run, nor JSON) [env: GUARDIAN_QUIET]'
complete -c guardian -n "__fish_guardian_using_subcommand run" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand status" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand status" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l max-restart -d 'Restarts of one connector or task before giving up [env: MAX_RESTART] [default: 7]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l exponential-ratio -d 'The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait [env: EXPONENTIAL_RATIO] [default: 1]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l backoff-step -d 'What the back-off counts: runs, or the clock in steps of this length [env: GUARDIAN_BACKOFF_STEP] [default: run]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l backoff-cap -d 'Longest single wait: runs, or a duration when the step is one [env: GUARDIAN_BACKOFF_CAP] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l settle -d 'No second restart of an instance within this time, whatever the back-off says [env: GUARDIAN_SETTLE] [default: 60s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l stuck-after -d 'Restart also what has been UNASSIGNED or RESTARTING for so many runs [env: GUARDIAN_STUCK_AFTER] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l watch -d 'How long what was restarted must run before more of the same cause follow; 0s sends everything at once [env: GUARDIAN_WATCH] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l group-from -d 'From so many connectors on, failures of one cause go in waves [env: GUARDIAN_GROUP_FROM] [default: 3]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l group-rest -d 'The longest rest of such a group after a wave that failed again, in runs or steps [env: GUARDIAN_GROUP_REST] [default: 2]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l keep-trying -d 'When nobody of a cause has a restart left, one gets another this often: in runs or steps, or a duration when the step is one [env: GUARDIAN_KEEP_TRYING] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l include -d 'Connectors to restart, by name with * and ?; repeatable, commas in the environment [env: GUARDIAN_INCLUDE] [default: all]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l exclude -d 'Connectors never to restart; wins over --include [env: GUARDIAN_EXCLUDE] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l no-tasks-ok -d 'Connectors that may be RUNNING without a task, as some of MirrorMaker\'s are [env: GUARDIAN_NO_TASKS_OK] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l max-restarts-per-day -d 'Restarts of one connector or task within 24 hours, 32 at most; what recovers and fails again is counted on [env: GUARDIAN_MAX_RESTARTS_PER_DAY] [default: unlimited]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l fail-on -d 'Exit with 3 when an instance was given up; is failed at all; or is failed, in transition or without tasks for three runs [env: GUARDIAN_FAIL_ON] [default: never]' -r -f -a "never\t''
gave-up\t''
failed\t''
unhealthy\t''"
complete -c guardian -n "__fish_guardian_using_subcommand status" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand status" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand status" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand status" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand status" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand status" -l no-backoff -d 'Restart at every run, without limit (the flag, or 0 in the environment) [env: ENABLE_BACKOFF]'
complete -c guardian -n "__fish_guardian_using_subcommand status" -l full -d 'Show every instance in the table, also the many that fail for one cause [env: GUARDIAN_FULL]'
complete -c guardian -n "__fish_guardian_using_subcommand status" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l max-restart -d 'Restarts of one connector or task before giving up [env: MAX_RESTART] [default: 7]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l exponential-ratio -d 'The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait [env: EXPONENTIAL_RATIO] [default: 1]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l backoff-step -d 'What the back-off counts: runs, or the clock in steps of this length [env: GUARDIAN_BACKOFF_STEP] [default: run]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l backoff-cap -d 'Longest single wait: runs, or a duration when the step is one [env: GUARDIAN_BACKOFF_CAP] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l settle -d 'No second restart of an instance within this time, whatever the back-off says [env: GUARDIAN_SETTLE] [default: 60s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l stuck-after -d 'Restart also what has been UNASSIGNED or RESTARTING for so many runs [env: GUARDIAN_STUCK_AFTER] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l watch -d 'How long what was restarted must run before more of the same cause follow; 0s sends everything at once [env: GUARDIAN_WATCH] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l group-from -d 'From so many connectors on, failures of one cause go in waves [env: GUARDIAN_GROUP_FROM] [default: 3]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l group-rest -d 'The longest rest of such a group after a wave that failed again, in runs or steps [env: GUARDIAN_GROUP_REST] [default: 2]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l keep-trying -d 'When nobody of a cause has a restart left, one gets another this often: in runs or steps, or a duration when the step is one [env: GUARDIAN_KEEP_TRYING] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l include -d 'Connectors to restart, by name with * and ?; repeatable, commas in the environment [env: GUARDIAN_INCLUDE] [default: all]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l exclude -d 'Connectors never to restart; wins over --include [env: GUARDIAN_EXCLUDE] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l parallel -d 'Connectors restarted at the same time [env: GUARDIAN_PARALLEL] [default: 4]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l deadline -d 'Time for one whole run [env: GUARDIAN_DEADLINE] [default: 3m30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l no-backoff -d 'Restart at every run, without limit (the flag, or 0 in the environment) [env: ENABLE_BACKOFF]'
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l full -d 'Show every instance in the table, also the many that fail for one cause [env: GUARDIAN_FULL]'
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l all -d 'Everything that has failed'
complete -c guardian -n "__fish_guardian_using_subcommand retry" -l even-running -d 'Restart also what runs, one by one'
complete -c guardian -n "__fish_guardian_using_subcommand retry" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand reset" -l all -d 'Forget everything'
complete -c guardian -n "__fish_guardian_using_subcommand reset" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l for -d 'How long, such as 2h; 30days at most' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l reason -d 'Why, for whoever finds it' -r
complete -c guardian -n "__fish_guardian_using_subcommand hold" -l all -l hold-all -d 'Hold everything, as \'*\' does'
complete -c guardian -n "__fish_guardian_using_subcommand hold" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand release" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand release" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand release" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand release" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand release" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand release" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand release" -l all -d 'End all holds'
complete -c guardian -n "__fish_guardian_using_subcommand release" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand history" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand history" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand history" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand history" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand history" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand history" -l since -d 'The first moment: 8h (ago), 02:00 (the last one), or a time such as 2026-11-27T02:00:00Z; in UTC' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l until -d 'The last moment, the same way' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -l connector -d 'Only what happened to these connectors, with * and ?' -r
complete -c guardian -n "__fish_guardian_using_subcommand history" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l max-restart -d 'Restarts of one connector or task before giving up [env: MAX_RESTART] [default: 7]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l exponential-ratio -d 'The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait [env: EXPONENTIAL_RATIO] [default: 1]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l backoff-step -d 'What the back-off counts: runs, or the clock in steps of this length [env: GUARDIAN_BACKOFF_STEP] [default: run]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l backoff-cap -d 'Longest single wait: runs, or a duration when the step is one [env: GUARDIAN_BACKOFF_CAP] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l settle -d 'No second restart of an instance within this time, whatever the back-off says [env: GUARDIAN_SETTLE] [default: 60s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l stuck-after -d 'Restart also what has been UNASSIGNED or RESTARTING for so many runs [env: GUARDIAN_STUCK_AFTER] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l watch -d 'How long what was restarted must run before more of the same cause follow; 0s sends everything at once [env: GUARDIAN_WATCH] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l group-from -d 'From so many connectors on, failures of one cause go in waves [env: GUARDIAN_GROUP_FROM] [default: 3]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l group-rest -d 'The longest rest of such a group after a wave that failed again, in runs or steps [env: GUARDIAN_GROUP_REST] [default: 2]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l keep-trying -d 'When nobody of a cause has a restart left, one gets another this often: in runs or steps, or a duration when the step is one [env: GUARDIAN_KEEP_TRYING] [default: off]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l every -d 'Run again and again at this interval, until SIGTERM [env: GUARDIAN_EVERY]' -r
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -l no-backoff -d 'Restart at every run, without limit (the flag, or 0 in the environment) [env: ENABLE_BACKOFF]'
complete -c guardian -n "__fish_guardian_using_subcommand schedule" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l url -d 'Workers of ONE cluster, tried in turn; a path prefix is kept [env: KAFKA_CONNECT_URL] [default: from host, port, protocol]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l host -d 'The worker\'s host, without scheme or port [env: KAFKA_CONNECT_HOST] [default: localhost]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l port -d 'The worker\'s REST port (a tcp://... of a Kubernetes service link is ignored) [env: KAFKA_CONNECT_PORT] [default: 8083]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l protocol -d 'How to talk to the worker [env: KAFKA_CONNECT_PROTO, KAFKA_CONNECT_PROTOCOL] [default: http]' -r -f -a "http\t''
https\t''"
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l user -d 'User for Basic authentication [env: KAFKA_CONNECT_USER]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l user-file -d 'File that holds the user\'s name [env: KAFKA_CONNECT_USER_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l password-file -d 'File that holds the password [env: KAFKA_CONNECT_PASS_FILE] [default: $CREDENTIALS_DIRECTORY/connect-password]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l token-file -d 'File that holds a bearer token, instead of user and password [env: KAFKA_CONNECT_TOKEN_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l headers-file -d 'File of headers that a gateway wants, Name: value a line; secret, sent to the workers only [env: KAFKA_CONNECT_HEADERS_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l ca-file -d 'PEM file of CAs to trust besides the system\'s [env: KAFKA_CONNECT_CA_FILE] [default: the system\'s CAs]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l cert-file -d 'PEM file of the client\'s certificate (mTLS) [env: KAFKA_CONNECT_CERT_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l key-file -d 'PEM file of the client\'s private key, not encrypted [env: KAFKA_CONNECT_KEY_FILE]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l proxy -d 'Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY [env: GUARDIAN_PROXY] [default: none]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l timeout -d 'Time for the whole answer of one worker when reading [env: GUARDIAN_TIMEOUT] [default: 30s]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l cluster -d 'The cluster\'s name in state and output [env: GUARDIAN_CLUSTER] [default: from the URL]' -r
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l state -d 'Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod [env: GUARDIAN_STATE] [default: CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder]' -r -F
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l output -d 'What to print on stdout [env: GUARDIAN_OUTPUT] [default: text]' -r -f -a "text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l log-level -d 'What to log on stderr [env: LOG_LEVEL] [default: info]' -r -f -a "error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l log-format -d 'How to log; auto is text, without the time on a terminal and in a journal [env: GUARDIAN_LOG_FORMAT] [default: auto]' -r -f -a "auto\t''
text\t''
json\t''"
complete -c guardian -n "__fish_guardian_using_subcommand notify" -l test -d 'Send the test: this command does nothing else'
complete -c guardian -n "__fish_guardian_using_subcommand notify" -s h -l help -d 'Print help'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "run" -d 'Read the cluster once, restart what is due, remember, report'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "status" -d 'Show what Connect says, what is remembered and what comes next; sends nothing'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "retry" -d 'Restart now what has failed, whatever waits, holds and limits say, and watch what becomes of it'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "reset" -d 'Forget failures, so that the next run starts afresh with them'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "hold" -d 'Leave connectors alone for a time, whatever becomes of them'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "release" -d 'End holds before their time'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "history" -d 'Show what happened: failures, restarts, recoveries, and what persons did'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "schedule" -d 'Show the timetable that the present settings give; reads and sends nothing'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "notify" -d 'Send a marked test message to each sink, and say what it answered'
complete -c guardian -n "__fish_guardian_using_subcommand help; and not __fish_seen_subcommand_from run status retry reset hold release history schedule notify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
