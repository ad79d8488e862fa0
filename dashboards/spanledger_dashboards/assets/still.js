// Draws the parts of a page that have no state (parts/still.py). Every value becomes a text or an attribute, never markup.
(function () {
  var SAFE = /^(?:\/(?!\/)|#|https?:|data:image\/(?:png|jpeg|gif|webp);)/i;

  function follow(event) {
    var to = event.currentTarget;
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button) { return; }
    event.preventDefault();
    history.pushState({}, "", to.getAttribute("href"));
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  function draw(node) {
    if (!Array.isArray(node)) { return node; }
    var link = node[0] === "Link";
    var props = {};
    Object.keys(node[1]).forEach(function (name) {
      var value = node[1][name];
      var address = name === "href" || name === "src";
      if (!/^on/i.test(name) && name !== "dangerouslySetInnerHTML" && (!address || SAFE.test(value))) { props[name] = value; }
    });
    if (link) { props.onClick = follow; }
    return React.createElement.apply(null, [link ? "a" : node[0], props].concat(node.slice(2).map(draw)));
  }

  function Still(props) {
    return React.createElement.apply(null, [React.Fragment, null].concat(props.nodes.map(draw)));
  }

  window.spanledger_parts = { Still: Still, follow: follow };
})();
