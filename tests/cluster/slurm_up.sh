#!/usr/bin/env bash
# Start a real Slurm of two one-core nodes on this machine; its files lie in the folder $1, its settings in $1/slurm.conf.
# It keeps accounts, as most clusters do. Debian's packages, without what they recommend: slurmctld slurmd slurm-client
# slurmdbd mariadb-server munge
set -euo pipefail
home=$1; mkdir -p "$home"/{state,spool.n1,spool.n2,sql}
host=$(hostname -s)
install -d -o munge -g munge -m 755 /run/munge
munge -n > /dev/null 2>&1 || setpriv --reuid=munge --regid=munge --clear-groups munged
mariadb-install-db --no-defaults --datadir="$home/sql" --user=root --auth-root-authentication-method=normal --skip-test-db > /dev/null
mariadbd --no-defaults --user=root --datadir="$home/sql" --socket="$home/sql.sock" --pid-file="$home/mariadbd.pid" \
  --skip-networking=0 --bind-address=127.0.0.1 --port=13306 > "$home/mariadbd.log" 2>&1 &
until mariadb --no-defaults -S "$home/sql.sock" -u root -e "create user slurm@localhost identified by 'slurm'; create user slurm@'127.0.0.1' identified by 'slurm'; create database slurm; grant all on slurm.* to slurm@localhost, slurm@'127.0.0.1'" 2> /dev/null; do sleep 0.2; done
cat > "$home/slurmdbd.conf" <<EOF
AuthType=auth/munge
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
PidFile=$home/slurmdbd.pid
LogFile=$home/slurmdbd.log
EOF
chmod 600 "$home/slurmdbd.conf"
cat > "$home/slurm.conf" <<EOF
ClusterName=ci
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
SlurmctldPort=16817
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool.%n
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.%n.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.%n.log
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=1 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$home/slurm.conf
slurmdbd
until sacctmgr -i add cluster ci > /dev/null 2>&1; do sleep 0.2; done
slurmctld -f "$SLURM_CONF"
for node in n1 n2; do slurmd -f "$SLURM_CONF" -N $node; done
until [ "$(sinfo -h -o %t)" = idle ]; do sleep 0.2; done
