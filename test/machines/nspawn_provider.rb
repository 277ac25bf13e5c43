# A Vagrant provider for tests: each machine is a systemd-nspawn container that boots its own systemd, in a network
# namespace of its own, from a copy of one root file system. run.sh says what has to be there; from the environment:
#
#   NSPAWN_ROOT    root file system that every machine starts from, with a user "vagrant"
#   NSPAWN_KEY     private key that this user takes
#   NSPAWN_PREFIX  begins the names of namespaces and links, so that two runs do not meet
#   NSPAWN_BRIDGE  bridge, in the namespace that Vagrant runs in, which the machines are connected to
require "fileutils"
require "vagrant"

module NspawnProvider
  ROOT, KEY, PREFIX, BRIDGE = %w[NSPAWN_ROOT NSPAWN_KEY NSPAWN_PREFIX NSPAWN_BRIDGE].map { |name| ENV.fetch(name) }

  class Config < Vagrant.plugin("2", :config)
  end

  # Container is the machine as this host sees it.
  class Container
    STOP_WITHIN = 15 # seconds

    def initialize(machine) = @machine = machine
    def name = @machine.name.to_s
    def root = @machine.data_dir.join("root").to_s
    def namespace = "#{PREFIX}-#{name}"
    def link = namespace # on the bridge; at most 15 characters
    def networks(kind) = @machine.config.vm.networks.filter_map { |type, options| options if type == kind }
    def ip = networks(:private_network).first.fetch(:ip)

    # A process id may be another process's by now.
    def running?
      pid = @machine.id.to_i
      pid.positive? && File.read("/proc/#{pid}/cmdline").split("\0").include?(root)
    rescue Errno::ENOENT, Errno::ESRCH
      false
    end

    def boot
      run("cp", "--archive", "--reflink=auto", ROOT, root) unless File.directory?(root)
      # Before it boots: Vagrant would otherwise set the name with tools that are not there.
      File.write("#{root}/etc/hostname", "#{name}\n")
      File.write("#{root}/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 #{name}\n")
      connect
      @machine.id = spawn_container.to_s
    end

    def remove
      Process.kill("TERM", @machine.id.to_i) if running? # nspawn has the machine power off
      (STOP_WITHIN * 10).times { running? ? sleep(0.1) : break }
      Process.kill("KILL", @machine.id.to_i) if running?
      sleep(0.1) while running?
      run("ip", "netns", "del", namespace) if File.exist?("/run/netns/#{namespace}") # the link goes with it
      cgroups.select { |group| File.directory?(group) }.each do |group|
        system("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+")
      end
      FileUtils.rm_rf([root, "/run/systemd/nspawn/propagate/#{namespace}"])
      @machine.id = nil
    end

    private

    def run(*command) = system(*command, exception: true)

    def connect
      run("ip", "netns", "add", namespace)
      run("ip", "link", "add", link, "type", "veth", "peer", "name", "host0", "netns", namespace)
      run("ip", "link", "set", link, "master", BRIDGE, "up")
      run("ip", "-n", namespace, "addr", "add", "#{ip}/24", "dev", "host0")
      run("ip", "-n", namespace, "link", "set", "host0", "up")
      run("ip", "-n", namespace, "link", "set", "lo", "up")
      networks(:forwarded_port).each { |port| forward(port) unless port[:id] == "ssh" }
    end

    # forward sends what this namespace itself connects to on a port of the host on to the machine.
    def forward(port)
      from = "ip daddr #{port[:host_ip] || "127.0.0.1"} tcp dport #{port[:host]}"
      run("nft", "add", "rule", "ip", "forwarded", "output", "#{from} dnat to #{ip}:#{port[:guest]}")
    end

    # cgroups are the machine's own control groups, where systemd keeps account of processes: in the hierarchy of
    # version 2 and, where there are others, in its own one. Machines that shared one would take each other's processes
    # for theirs.
    def cgroups
      File.readlines("/proc/self/mounts").map(&:split).filter_map do |_, mount, type, options|
        systemd = type == "cgroup2" || (type == "cgroup" && options.split(",").include?("name=systemd"))
        "#{mount}/#{namespace}" if systemd
      end
    end

    def spawn_container
      log = @machine.data_dir.join("console.log").to_s
      FileUtils.mkdir_p(cgroups)
      enter = cgroups.map { |group| "echo $$ >#{group}/cgroup.procs && " }.join
      pid = spawn("sh", "-c", "#{enter}exec \"$@\"", "sh",
                  "systemd-nspawn", "--quiet", "--boot", "--directory", root, "--machine", namespace,
                  "--network-namespace-path=/run/netns/#{namespace}", "--register=no", "--keep-unit", "--console=pipe",
                  in: "/dev/null", out: log, err: [:child, :out], pgroup: true)
      Process.detach(pid)
      pid
    end
  end

  class Boot
    def initialize(app, _env) = @app = app

    def call(env)
      container = Container.new(env[:machine])
      unless container.running?
        env[:ui].info("Booting with systemd-nspawn at #{container.ip}")
        container.boot
      end
      @app.call(env)
    end
  end

  class Remove
    def initialize(app, _env) = @app = app

    def call(env)
      Container.new(env[:machine]).remove
      @app.call(env)
    end
  end

  class Provider < Vagrant.plugin("2", :provider)
    Builtin = Vagrant::Action::Builtin
    ACTIONS = {
      up: [Builtin::ConfigValidate, Boot, Builtin::Provision, Builtin::SyncedFolders, Builtin::SetHostname,
           [Builtin::WaitForCommunicator, [:running]]],
      provision: [Builtin::ConfigValidate, Builtin::Provision],
      destroy: [Remove],
      ssh: [Builtin::SSHExec],
      ssh_run: [Builtin::SSHRun],
    }.freeze

    def initialize(machine) = @machine = machine

    def action(name)
      steps = ACTIONS[name] or return
      Vagrant::Action::Builder.new.tap { |builder| steps.each { |step| builder.use(*step) } }
    end

    def state
      state = Container.new(@machine).running? ? :running : :not_created
      Vagrant::MachineState.new(state, state.to_s, state.to_s)
    end

    def ssh_info
      return unless state.id == :running

      { host: Container.new(@machine).ip, port: 22, username: "vagrant", private_key_path: KEY }
    end
  end

  class Plugin < Vagrant.plugin("2")
    name "nspawn"
    provider(:nspawn, parallel: true, box_optional: true, defaultable: true) { Provider }
    config(:nspawn, :provider) { Config }
  end
end
