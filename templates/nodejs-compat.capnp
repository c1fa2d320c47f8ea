# As default.capnp, for a module that imports from "node:…": with the Node.js interfaces, and with the way out to the
# network that node's own modules expect.
# @NAME@, @PATH@ and @PORT@ are filled in; @FLAGS@ holds nodejs_compat and what the module's language needs.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)))
  ],
  sockets = [(name = "http", address = "127.0.0.1:@PORT@", http = (), service = "main")]
);

const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  compatibilityFlags = [@FLAGS@],
  modules = [(name = "@NAME@", esModule = embed "@PATH@")],
  globalOutbound = "internet"
);
