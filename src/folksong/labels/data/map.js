const plot = document.getElementById("map"), box = document.getElementById("search");
box.oninput = () => {
  const wanted = box.value.toLowerCase(), found = [];
  plot.data[0].customdata.forEach((text, i) => { if (text.toLowerCase().includes(wanted)) found.push(i); });
  Plotly.restyle(plot, {selectedpoints: [wanted ? found : null]}, [0]);
};
