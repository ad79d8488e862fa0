// Browser-side callbacks and cell renderers. Every value reaches the page as a text node, never as markup.
(function () {
  // What was sent ahead goes in the moment the page itself is there.
  var waiting = new MutationObserver(function () {
    var ahead = document.getElementById("ahead");
    if (!document.querySelector("#main .page, #main .notice")) { return; }
    if (ahead) { ahead.remove(); }
    if (ahead || document.readyState !== "loading") { waiting.disconnect(); }
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });

  // Calls back when two frames were drawn and the browser has nothing to do, or a quarter of a second later.
  function seen(then) {
    var idle = window.requestIdleCallback || function (call) { setTimeout(call, 50); };
    requestAnimationFrame(function () { requestAnimationFrame(function () { idle(then, { timeout: 250 }); }); });
  }

  // Plotly takes half a second to start, and texts and tables need none of it: it is fetched once they are seen.
  if (!window.Plotly) {
    var fetched;
    window.Plotly = {
      then: function (done, failed) {
        fetched = fetched || new Promise(function (loaded, gone) {
          seen(function () {
            var script = document.createElement("script");
            script.src = document.querySelector("meta[name=plotly]").content;
            script.onload = function () { loaded(); };
            script.onerror = function () { gone(new Error("plotly.js did not load")); };
            document.head.appendChild(script);
          });
        });
        return fetched.then(done, failed);
      }
    };
  }

  var SHARED = ["project", "range", "from", "to"];
  function same() { return window.dash_clientside.no_update; }

  function changed(before, params) {
    params.delete("t");
    var text = params.toString();
    var after = text ? "?" + text : "";
    var old = new URLSearchParams(before || "");
    old.delete("t");
    return old.toString() === text ? same() : after;
  }

  function put(params, name, value) {
    if (value === null || value === undefined || value === "") { params.delete(name); } else { params.set(name, value); }
  }

  var functions = {
    // Filters of the page: written into the address, from which the page is drawn anew.
    filter: function (values, ids, search) {
      var touched = (window.dash_clientside.callback_context.triggered || []).map(function (t) { return t.prop_id; });
      var params = new URLSearchParams(search || "");
      var any = false;
      ids.forEach(function (id, i) {
        var own = touched.some(function (prop) { return prop.indexOf('"name":"' + id.name + '"') >= 0; });
        if (!own) { return; }
        var is = params.get(id.name) || "";
        var now = values[i] === null || values[i] === undefined ? "" : String(values[i]);
        if (is !== now && !(is === "" && sameAsDefault(id.name, now))) { put(params, id.name, now); any = true; }
      });
      return any ? changed(search, params) : same();
    },
    // Time range and project: kept by every page.
    shared: function (values, ids, search) {
      var params = new URLSearchParams(search || "");
      var any = false;
      ids.forEach(function (id, i) {
        var is = id.name === "range" ? rangeOf(params) : params.get(id.name);
        if (values[i] && values[i] !== "custom" && values[i] !== is && (is || values[i] !== defaults[id.name])) {
          put(params, id.name, values[i]);
          if (id.name === "range") { params.delete("from"); params.delete("to"); }
          any = true;
        }
      });
      return any ? changed(search, params) : same();
    },
    // A click on a chart's point leads to the calls behind it.
    open: function (click) {
      var point = click && click.points && click.points[0];
      var to = point && point.customdata;
      if (Array.isArray(to)) { to = to[0]; }
      if (typeof to === "string" && to.charAt(0) === "/" && to.charAt(1) !== "/") {
        history.pushState({}, "", to);
        window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
      }
      return same();
    },
    // Dragging over a time chart makes its period the page's.
    zoom: function (layouts, search) {
      for (var i = 0; i < layouts.length; i++) {
        var l = layouts[i];
        if (!l || !l["xaxis.range[0]"] || !l["xaxis.range[1]"]) { continue; }
        var from = moment(l["xaxis.range[0]"]), to = moment(l["xaxis.range[1]"]);
        if (!from || !to || to - from < 1000) { continue; }
        var params = new URLSearchParams(search || "");
        params.delete("range");
        params.set("from", iso(from));
        params.set("to", iso(to));
        return changed(search, params);
      }
      return same();
    },
    // The menu keeps time range and project; the controls above show what the address says.
    menu: function (path, search, ids, sharedIds, sharedValues) {
      var params = new URLSearchParams(search || "");
      var kept = new URLSearchParams();
      SHARED.forEach(function (name) { if (params.get(name)) { kept.set(name, params.get(name)); } });
      var rest = kept.toString() ? "?" + kept.toString() : "";
      var hrefs = ids.map(function (id) { return id.path + rest; });
      var classes = ids.map(function (id) {
        var own = id.path === "/" ? path === "/" : path === id.path || path.indexOf(id.path + "/") === 0;
        var trace = id.path === "/calls" && path.indexOf("/traces/") === 0;
        return own || trace ? "item here" : "item";
      });
      var values = sharedIds.map(function (id, i) {
        if (id.name === "range") { return params.get("from") ? "custom" : params.get("range") || "24h"; }
        return params.get(id.name) || defaults[id.name] || sharedValues[i];
      });
      sharedIds.forEach(function (id, i) { if (!defaults[id.name]) { defaults[id.name] = sharedValues[i]; } });
      var text = params.get("from") ? params.get("from").replace("T", " ").replace("Z", "") + " – " + (params.get("to") || "now").replace("T", " ").replace("Z", "") + " UTC" : "";
      return [hrefs, classes, values, text];
    },
    // Saved views: a name and an address of these pages, in this browser alone.
    save: function (saves, drops, name, views, path, search) {
      var clean = String(name || "").trim().slice(0, 60);
      var kept = (Array.isArray(views) ? views : []).filter(function (view) { return view.name !== clean; });
      if (!clean) { return [same(), same()]; }
      var touched = window.dash_clientside.callback_context.triggered[0].prop_id;
      if (touched.indexOf("saved-save") === 0) {
        var params = new URLSearchParams(search || "");
        params.delete("t");
        var rest = params.toString();
        kept.push({ name: clean, to: path + (rest ? "?" + rest : "") });
        kept.sort(function (a, b) { return a.name < b.name ? -1 : 1; });
      }
      return [kept.slice(0, 50), ""];
    },
    saved: function (views) {
      var list = (Array.isArray(views) ? views : []).filter(function (view) {
        return typeof view.to === "string" && /^\/(?!\/)/.test(view.to);
      });
      if (!list.length) {
        return [item("Li", "No view saved yet: set filters, then name what you see.")];
      }
      return list.map(function (view) {
        var link = { type: "Link", namespace: "dash_core_components", props: { href: view.to, className: "a", children: String(view.name) } };
        return item("Li", link);
      });
    },
    // The list of calls follows what comes in every two seconds, other pages every fifteen.
    live: function (on, path) { return [!on, path === "/calls" ? 2000 : 15000]; },
    // Draws the page anew; `t` only makes the address differ and is dropped by every other change. The list of calls
    // only reads its rows again, and stays where it was scrolled to.
    tick: function (n, search) {
      if (!n || document.hidden) { return same(); }
      if (window.location.pathname === "/calls") {
        var grid = document.getElementById("calls-grid") && window.dash_ag_grid && window.dash_ag_grid.getApi("calls-grid");
        if (grid) { grid.refreshInfiniteCache(); return same(); }
      }
      var params = new URLSearchParams(search || "");
      params.set("t", String(n));
      return "?" + params.toString();
    }
  };

  function item(type, children) {
    return { type: type, namespace: "dash_html_components", props: { children: children } };
  }
  var defaults = { range: "24h" };
  var filterDefaults = { show: "calls", by: "team", columns: "status,model,duration,ttft,tokens,cost,served,answer,team,user_id,route,name" };
  function sameAsDefault(name, value) { return filterDefaults[name] === value || value === ""; }
  function rangeOf(params) { return params.get("from") ? "custom" : params.get("range"); }
  function moment(text) { var d = new Date(String(text).replace(" ", "T") + "Z"); return isNaN(d) ? null : d; }
  function iso(d) { return d.toISOString().slice(0, 19) + "Z"; }

  window.dash_clientside = Object.assign({}, window.dash_clientside, { spanledger: functions });

  // Cells of the call grid.
  var cells = window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};
  cells.CallLink = function (props) {
    var href = props.data && props.data.href;
    if (!href) { return React.createElement("span", { className: "waiting" }, "…"); }
    return React.createElement("a", {
      href: href, className: "a", onClick: function (event) { window.spanledger_parts.follow(event); }
    }, props.value);
  };
  cells.StatusBadge = function (props) {
    if (!props.value) { return null; }
    var tone = { ok: "green", error: "red", cut: "amber" }[props.value] || "grey";
    return React.createElement("span", { className: "badge " + tone }, props.value);
  };
})();
