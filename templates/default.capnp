# The configuration the runtime makes for a module that is given to workerd by itself: one worker, one HTTP socket.
# @NAME@, @PATH@ and @PORT@ are filled in; @FLAGS@ holds what the module's language needs.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:@PORT@", http = (), service = "main")]
);

const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  compatibilityFlags = [@FLAGS@],
  modules = [(name = "@NAME@", esModule = embed "@PATH@")]
);
